"""A private, real MongoDB: one `mongod` on the loopback, a replica set of one, all it holds in one folder."""

from __future__ import annotations

from recovery_nb.embedded.binary import find_mongod
from recovery_nb.embedded.holder import Holder
from recovery_nb.embedded.mongod import EmbeddedMongod

__all__ = ["EmbeddedMongod", "Holder", "find_mongod"]
