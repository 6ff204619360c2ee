"""The TypeScript original's database, brought over: looked at, set right, written, and told of.

`importing.py` has the order of it. `source.py` reads, `cells.py` sets right what is wrong with one
cell, `references.py`, `trees.py`, `edges.py` and `settling.py` what rows have to agree on, and
`findings.py` keeps what the report tells.
"""

from cw_store.original.enumerations import ValueMap
from cw_store.original.importing import import_original
from cw_store.original.report import (
    Finding,
    FindingLevel,
    ImportedTable,
    ImportReport,
    OriginalMigrations,
)

__all__ = [
    "Finding",
    "FindingLevel",
    "ImportReport",
    "ImportedTable",
    "OriginalMigrations",
    "ValueMap",
    "import_original",
]
