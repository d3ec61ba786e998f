from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stock", "0001_initial")]

    operations = [
        migrations.AddField("stockrecord", "shelf", models.CharField(max_length=9, default="")),
        migrations.AddField("stockrecord", "seen_on", models.DateField(null=True)),
        migrations.AddIndex("stockrecord", models.Index("shelf", "seen_on", name="stock_by_shelf")),
        migrations.RemoveConstraint("stockrecord", "an_article_stands_once_at_a_place"),
        migrations.AddConstraint(
            "stockrecord",
            models.UniqueConstraint(
                fields=["sku", "place", "shelf"], name="an_article_stands_once_on_a_shelf"
            ),
        ),
    ]
