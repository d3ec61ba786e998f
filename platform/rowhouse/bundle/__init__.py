"""Bundles: one tenant in open formats (CSV, Table Schema, JSON) in a zip, to leave with or to begin elsewhere.

datapackage.json         what is in it, with a sha256 of each part (a Frictionless Data Package)
definitions/SLUG.json    a dataset's definition as Table Schema
records/SLUG.csv         its records, with their numbers
history/SLUG.csv         every version of them, with who, when and why
people.json              groups and users with what each may do; no passwords
permissions.json         rights per dataset, and columns kept from somebody
events.csv               who did what; for reading, not brought over
files.csv                the files in the tenant's storage; the files themselves are not in it
"""
