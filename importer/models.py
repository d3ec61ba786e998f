"""Import jobs, what was wrong with their rows, and the mappings a dataset remembers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q, Value

from core import clock
from importer.targets.proxies import ImportJobBase, title_of

if TYPE_CHECKING:
    from datasets.models import Dataset


class State(models.TextChoices):
    CREATED = "CREATED", "waiting for its preview"
    PREVIEW_IN_PROGRESS = "PREVIEW_IN_PROGRESS", "previewing"
    PREVIEW_SUCCEEDED = "PREVIEW_SUCCEEDED", "waiting for confirmation"
    PREVIEW_FAILED = "PREVIEW_FAILED", "preview failed"
    IMPORT_IN_PROGRESS = "IMPORT_IN_PROGRESS", "importing"
    IMPORT_SUCCEEDED = "IMPORT_SUCCEEDED", "imported"
    IMPORT_FAILED = "IMPORT_FAILED", "import failed"
    CANCELLED = "CANCELLED", "cancelled"
    UNDONE = "UNDONE", "undone"


class Mode(models.TextChoices):
    UPSERT = "upsert", "add new records and change existing ones"
    INSERT = "insert", "add new records only"
    UPDATE = "update", "change existing records only"
    SYNC = "sync", "make the dataset equal to the file: records it does not have are deleted"


class Policy(models.TextChoices):
    """What happens to the good rows of a file that has bad ones."""

    GOOD_ROWS = "good_rows", "import the good rows, keep the others for correction"
    ALL_OR_NOTHING = "all_or_nothing", "import nothing unless every row is good"


class Blank(models.TextChoices):
    """What an empty cell of a file says of a record that has a value there."""

    CLEAR = "clear", "an empty cell empties the record's value"
    KEEP = "keep", "an empty cell leaves the record's value as it is"


PREVIEWING = (State.CREATED, State.PREVIEW_IN_PROGRESS)
RUNNING = (*PREVIEWING, State.IMPORT_IN_PROGRESS)
UNCONFIRMED = (*PREVIEWING, State.PREVIEW_SUCCEEDED)
REMAPPABLE = (*UNCONFIRMED, State.PREVIEW_FAILED)
# Which states still need their staging tables.
STAGED = (*UNCONFIRMED, State.IMPORT_IN_PROGRESS)

REACHED = {
    State.CREATED: "created_at",
    State.PREVIEW_IN_PROGRESS: "preview_started_at",
    State.PREVIEW_SUCCEEDED: "previewed_at",
    State.PREVIEW_FAILED: "previewed_at",
    State.IMPORT_IN_PROGRESS: "confirmed_at",
    State.IMPORT_SUCCEEDED: "ended_at",
    State.IMPORT_FAILED: "ended_at",
    State.CANCELLED: "ended_at",
    State.UNDONE: "undone_at",
}


class ImportJob(models.Model, metaclass=ImportJobBase):
    """One file on its way into one dataset; or, with `undoes`, the way back of an import that was merged.

    An import into a plain Django model has no dataset but a `target`.

    A dataset may have several previews at a time, since they write nothing. The database allows one job per
    dataset in IMPORT_IN_PROGRESS; whoever confirms second is refused until the first has ended. Confirming
    one preview makes the others stale, and the check of their plan at the merge finds that out.
    """

    # Typed as if it were always there: only imports into a plain model have none, and those have a code of
    # their own (`importer.targets`).
    dataset: models.ForeignKey[Dataset, Dataset] = models.ForeignKey(  # type: ignore[misc]
        "datasets.Dataset", null=True, blank=True, on_delete=models.DB_CASCADE, related_name="import_jobs"
    )
    target = models.CharField(
        max_length=120, blank=True, db_default="", help_text="app.Model, of a plain model"
    )
    undoes = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.DB_CASCADE, related_name="undone_by",
        help_text="the import whose changes this one takes back",
    )  # fmt: skip
    state = models.CharField(max_length=19, choices=State, default=State.CREATED, db_index=True)
    mode = models.CharField(max_length=6, choices=Mode, default=Mode.UPSERT)
    policy = models.CharField("bad rows", max_length=14, choices=Policy, default=Policy.GOOD_ROWS)

    file_name = models.CharField("file", max_length=255)
    key = models.CharField(max_length=500, blank=True)
    bytes = models.BigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    kind = models.CharField(max_length=4, blank=True, help_text="csv or xlsx, by its content")
    # The CSV that an xlsx file's sheet became; {"key", "bytes", "sha256", "sheet"}.
    sheet = models.JSONField(default=dict, blank=True)
    # Repeating a form's submission finds the job it made the first time.
    request_key = models.CharField(max_length=64, null=True, blank=True, unique=True)

    overrides = models.JSONField(default=dict, blank=True, help_text="what a person said about the dialect")
    dialect = models.JSONField(default=dict, blank=True)
    # What the mapping page shows: {"labels": […], "samples": [[…]], "doubts": […], "sheets": […]}.
    head = models.JSONField(default=dict, blank=True)
    mapping = models.JSONField(default=list, blank=True, help_text="the matches this job uses")
    mapping_version = models.ForeignKey(
        "MappingVersion", null=True, blank=True, on_delete=models.DB_SET_NULL, related_name="+",
        help_text="the version of a saved mapping that the matches came from or were kept as",
    )  # fmt: skip
    definition_version = models.PositiveIntegerField(default=0)
    snapshot = models.CharField(max_length=200, blank=True, help_text="what the plan saw of the database")

    read_rows = models.BigIntegerField("rows", default=0)
    staged_rows = models.BigIntegerField(default=0)
    created_rows = models.BigIntegerField("created", default=0)
    updated_rows = models.BigIntegerField("updated", default=0)
    unchanged_rows = models.BigIntegerField("unchanged", default=0)
    rejected_rows = models.BigIntegerField("rejected", default=0)
    blank_rows = models.BigIntegerField("blank", default=0)
    # Records, not rows: those the file does not have, those deleted, and those an undo leaves as they are.
    missing_rows = models.BigIntegerField("missing", default=0, db_default=0)
    deleted_rows = models.BigIntegerField("deleted", default=0, db_default=0)
    kept_rows = models.BigIntegerField("kept", default=0, db_default=0)
    issue_counts = models.JSONField(default=dict, blank=True, help_text="errors by code, all of them")
    warning_counts = models.JSONField(
        default=dict, blank=True, db_default=Value({}, models.JSONField()), help_text="warnings by code"
    )

    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    notice = models.TextField(blank=True, help_text="something the person should know before confirming")

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    previews = models.PositiveIntegerField(default=0, help_text="how often a preview was asked for")
    merges = models.PositiveIntegerField(default=0, help_text="how often it was confirmed")
    preview_job_id = models.CharField(max_length=40, blank=True)
    merge_job_id = models.CharField(max_length=40, blank=True)

    created_at = models.DateTimeField("uploaded at", default=clock.now, db_index=True)
    preview_started_at = models.DateTimeField(null=True, blank=True)
    previewed_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "import"
        ordering: ClassVar = ["-pk"]
        default_permissions = ("view",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset"], condition=Q(state="IMPORT_IN_PROGRESS"), name="one_open_job_per_target"
            ),
            models.UniqueConstraint(
                fields=["target"],
                condition=Q(state="IMPORT_IN_PROGRESS") & ~Q(target=""),
                name="one_open_job_per_model",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["PREVIEW_FAILED", "IMPORT_FAILED"]) | ~Q(error_code=""),
                name="a_failed_import_says_why",
            ),
            models.CheckConstraint(
                condition=Q(dataset__isnull=False, target="") | Q(Q(dataset__isnull=True) & ~Q(target="")),
                name="an_import_has_one_target",
            ),
        ]

    def __str__(self) -> str:
        if self.undoes_id is not None:
            return f"Import {self.pk}, undoing import {self.undoes_id}"
        return f"Import {self.pk} of {self.file_name}"

    @property
    def target_title(self) -> str:
        """What the file goes into, as people call it: the dataset, or the records of a plain model."""
        if not self.target:
            return str(self.dataset)
        return title_of(self.target)

    @property
    def is_undo(self) -> bool:
        return self.undoes_id is not None

    @property
    def drifted(self) -> str:
        """The keys of the records that made a confirm come back as a new preview; for those who may view them."""
        return str(self.head.get("drifted", "")) if self.notice else ""

    @property
    def is_same(self) -> bool:
        """Whether the file was recognised as one that was merged before: none of its rows is staged."""
        return "same_as" in self.head

    @property
    def changes_in_all(self) -> int:
        """How many records its plan or its merge creates, changes and deletes."""
        return self.created_rows + self.updated_rows + self.deleted_rows

    @property
    def reason(self) -> str:
        """What history writes beside each record this import touches."""
        return f"import {self.pk}"

    @property
    def issues_in_all(self) -> int:
        return sum(self.issue_counts.values())

    @property
    def unmapped_labels(self) -> list[str]:
        """The labels of the file that go nowhere: their cells are not imported."""
        used: set[int] = set()
        for match in self.mapping:
            used.update(match.get("recipe", {}).get("joined", ()))
            if match.get("column") is not None:
                used.add(match["position"])
        return [
            match["label"]
            for match in self.mapping
            if match["position"] >= 0 and match["position"] not in used
        ]

    @property
    def current_job_id(self) -> str:
        """The background job that works on it now, or worked on it last."""
        return self.merge_job_id if self.state in AFTER_CONFIRM and self.merge_job_id else self.preview_job_id

    def move(self, *, old: State | Collection[State], new: State, **values: Any) -> bool:
        """Change the state if it still is one of `old`, with other fields and the moment in the same statement.

        The job in hand takes over what was written. False: somebody else moved it first.
        """
        states = [old] if isinstance(old, State) else list(old)
        values = {REACHED[new]: clock.now(), **values} if new != State.CREATED else values
        moved = type(self).objects.filter(pk=self.pk, state__in=states).update(state=new, **values)
        if moved:
            self.state = new
            for name, value in values.items():
                setattr(self, name, value)
        return bool(moved)


AFTER_CONFIRM = (State.IMPORT_IN_PROGRESS, State.IMPORT_SUCCEEDED, State.IMPORT_FAILED, State.UNDONE)


class Severity(models.TextChoices):
    """An error rejects its row; a warning only tells."""

    ERROR = "error", "error"
    WARNING = "warning", "warning"


class ImportIssue(models.Model):
    """Something wrong with a row, as `importer.issues.Issue` says it."""

    # The database itself removes them with their job: there may be millions. Django wants a chain of such
    # keys to be of one kind, hence all of ours are.
    job = models.ForeignKey(ImportJob, on_delete=models.DB_CASCADE, related_name="issues")
    code = models.CharField(max_length=40)
    row = models.BigIntegerField()
    line = models.BigIntegerField()
    column = models.TextField(blank=True)
    value = models.TextField(blank=True)
    rule = models.TextField()
    severity = models.CharField(max_length=7, choices=Severity, default=Severity.ERROR, db_default="error")

    class Meta:
        ordering: ClassVar = ["row", "pk"]
        default_permissions = ()
        indexes: ClassVar = [models.Index(fields=["job", "row", "id"], name="issues_of_an_import")]

    def __str__(self) -> str:
        return f"row {self.row}: {self.code}"


class RejectedRow(models.Model):
    """A row that was not staged: its cells exactly as the file has them (null: an unquoted empty cell)."""

    job = models.ForeignKey(ImportJob, on_delete=models.DB_CASCADE, related_name="rejects")
    row = models.BigIntegerField()
    line = models.BigIntegerField()
    cells = models.JSONField(encoder=DjangoJSONEncoder)
    problem = models.TextField()
    codes = models.JSONField(
        default=list, db_default=Value([], models.JSONField()), help_text="the code of each of its issues"
    )

    class Meta:
        ordering: ClassVar = ["row"]
        default_permissions = ()
        indexes: ClassVar = [models.Index(fields=["job", "row"], name="rejects_of_an_import")]

    def __str__(self) -> str:
        return f"row {self.row}"


class RowFix(models.Model):
    """A row of the file as a person corrected it: every later reading of the file takes these cells instead."""

    job = models.ForeignKey(ImportJob, on_delete=models.DB_CASCADE, related_name="fixes")
    row = models.BigIntegerField()
    cells = models.JSONField(encoder=DjangoJSONEncoder)
    before = models.JSONField(encoder=DjangoJSONEncoder, help_text="the cells as the file has them")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    at = models.DateTimeField(default=clock.now)

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "row"], name="one_fix_per_row_of_an_import")
        ]

    def __str__(self) -> str:
        return f"row {self.row}"


class ImportRules(models.Model):
    """What a dataset wants of every import: the defaults of the upload page, and the share of bad rows it bears."""

    dataset = models.OneToOneField(
        "datasets.Dataset", on_delete=models.DB_CASCADE, related_name="import_rules", primary_key=True
    )
    policy = models.CharField("bad rows", max_length=14, choices=Policy, default=Policy.GOOD_ROWS)
    max_rejected_percent = models.DecimalField(
        "most rejected rows, in percent", max_digits=5, decimal_places=2, null=True, blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="An import with a larger share of rejected rows cannot be confirmed. Empty: any share can.",
    )  # fmt: skip
    blank = models.CharField("empty cells", max_length=5, choices=Blank, default=Blank.CLEAR)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"import rules of dataset {self.pk}"


class SavedMapping(models.Model):
    """Which label went to which column the last time a file with these labels was imported.

    With a name it is one that a person keeps, and has no fingerprint: it is chosen, not recognised.
    """

    dataset = models.ForeignKey(
        "datasets.Dataset", on_delete=models.DB_CASCADE, related_name="saved_mappings"
    )
    fingerprint = models.CharField(max_length=64, help_text="sha256 of the file's labels in order")
    # {label: physical column name, or null for "skip"}.
    columns = models.JSONField()
    used_at = models.DateTimeField(default=clock.now)
    name = models.CharField(max_length=100, blank=True, db_default="")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "fingerprint"],
                condition=Q(name=""),
                name="one_remembered_mapping_per_header",
            ),
            models.UniqueConstraint(
                fields=["dataset", "name"], condition=~Q(name=""), name="a_mappings_name_stands_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"mapping of {len(self.columns)} labels"


class MappingVersion(models.Model):
    """A saved mapping as it was at some time, whole: imports point at the one they used."""

    saved = models.ForeignKey(SavedMapping, on_delete=models.DB_CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    matches = models.JSONField(help_text="as ImportJob.mapping")
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.DB_SET_NULL, related_name="+"
    )
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering: ClassVar = ["-number"]
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["saved", "number"], name="a_mappings_version_stands_once")
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class Proposal(models.Model):
    """A file that columns of a new dataset are proposed from; it is its uploader's alone.

    `columns` holds what is proposed of each label, in the file's order (`importer.proposing`).
    """

    class State(models.TextChoices):
        READING = "READING", "being read"
        READY = "READY", "waiting for a decision"
        FAILED = "FAILED", "cannot be read"
        USED = "USED", "made a dataset"

    state = models.CharField(max_length=10, choices=State.choices, default=State.READING)
    error = models.TextField(blank=True)
    file_name = models.CharField(max_length=255)
    key = models.CharField(max_length=1024, blank=True)
    sha256 = models.CharField(max_length=64)
    rows = models.PositiveBigIntegerField(default=0)
    columns = models.JSONField(default=list)
    job_id = models.BigIntegerField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        ordering = ("-pk",)

    def __str__(self) -> str:
        return self.file_name

    def move(self, *, old: str, new: str, **values: Any) -> bool:
        """Move the state by compare and swap, and set these values with it."""
        moved = type(self).objects.filter(pk=self.pk, state=old).update(state=new, **values)
        if moved:
            self.refresh_from_db()
        return bool(moved)
