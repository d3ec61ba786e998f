"""A whole platform of real processes, and people who use it over HTTP: for upgrades, rotations and recoveries.

`releases` gives folders with code, `site` runs web and worker of any of them on one database, `people` sign in,
read, edit, import and export through all of them and remember what must be so, `verdict` compares the database with it.
"""
