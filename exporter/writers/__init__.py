"""The formats of export files, a module each. Pure: no Django, no storage, no clock."""

from __future__ import annotations

from exporter.writers.base import FileWriter, NotWritable, Table, table_of
from exporter.writers.delimited import CsvWriter
from exporter.writers.gzipped import CsvGzWriter
from exporter.writers.jsonl import JsonLinesWriter
from exporter.writers.parquet import ParquetWriter
from exporter.writers.workbook import WorkbookWriter

__all__ = ["WRITERS", "FileWriter", "NotWritable", "Table", "content_type", "table_of"]

# By the word of the format, which is also the files' extension.
WRITERS: dict[str, type[FileWriter]] = {
    "csv": CsvWriter,
    "csv.gz": CsvGzWriter,
    "xlsx": WorkbookWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}


def content_type(format_word: str, encoding: str = "utf-8") -> str:
    """Return the media type of a format's files, as downloads name it."""
    said = WRITERS[format_word].content_type
    return said.replace("utf-8", "utf-16" if encoding == "utf-16" else encoding.removesuffix("-sig"))
