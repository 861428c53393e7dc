from __future__ import annotations

from typing import Any

import pytest

from recovery_nb.errors import BadInputError
from recovery_nb.sources.address import beside
from recovery_nb.sources.mongodb import connect


@pytest.mark.parametrize(
    ("address", "other"),
    [
        ("mongodb://localhost:27017/shop", "mongodb://localhost:27017/copy"),
        ("mongodb://h1:1,h2:2/shop?replicaSet=r&w=1", "mongodb://h1:1,h2:2/copy?replicaSet=r&w=1"),
        ("mongodb://h", "mongodb://h/copy"),
        ("mongodb://h/?tls=true", "mongodb://h/copy?tls=true"),
        ("mongodb://u:p%2Fw@h/shop", "mongodb://u:p%2Fw@h/copy?authSource=shop"),
        ("mongodb://u:p@h/my%2Dshop?tls=true", "mongodb://u:p@h/copy?tls=true&authSource=my-shop"),
        ("mongodb://u:p@h/shop?authsource=admin", "mongodb://u:p@h/copy?authsource=admin"),
        ("mongodb://u:p@h/shop?authMechanism=SCRAM-SHA-256",
         "mongodb://u:p@h/copy?authMechanism=SCRAM-SHA-256&authSource=shop"),
        ("mongodb://u@h/shop?authMechanism=MONGODB-X509", "mongodb://u@h/copy?authMechanism=MONGODB-X509"),
        ("mongodb://u:p@h", "mongodb://u:p@h/copy"),
        ("mongodb+srv://u:p@cluster.example/shop", "mongodb+srv://u:p@cluster.example/copy"),
        ("embedded:shop", "embedded:copy"),
    ],
)  # fmt: skip
def test_the_same_server_and_user_with_another_database(address: str, other: str) -> None:
    assert beside(address, "copy") == other


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "a b", "$a", "a\0", "x" * 64, "ä" * 32])
def test_a_name_that_no_database_can_have_is_refused(name: str) -> None:
    with pytest.raises(BadInputError, match="no database can be called"):
        beside("mongodb://h/shop", name)


def test_the_server_is_reached_under_the_other_name(database: Any) -> None:
    client, name = connect(beside(database.uri, "another-one"))
    client.close()

    assert name == "another-one"
