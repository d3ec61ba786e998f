from importlib import import_module

Migration = import_module("importer.examples.stock.migrations.0001_initial").Migration
