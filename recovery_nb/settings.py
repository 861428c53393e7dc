"""What a user can set once: by environment, or in `recovery-nb.toml` in the working folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from recovery_nb.errors import BadInputError
from recovery_nb.sources.discover import PATTERNS
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.expand.limits import Limits

__all__ = ["MASKED", "PROFILE", "Settings", "load_settings"]

PROFILE = "recovery-nb.toml"
"""The profile: a TOML file in the working folder with the names of `Settings` as keys."""

MASKED = (
    "*password*", "*passwd*", "*passphrase*", "pwd", "pin", "*secret*", "*token*", "*apikey*", "*accesskey*",
    "*privatekey*", "*credential*", "authorization", "cookie", "ssn", "*socialsecurity*", "*iban", "*cardnumber*",
    "*creditcard*", "cvv", "cvc", "*accountnumber*", "*passport*", "*taxid*", "*email*", "*phone*", "mobile",
    "*birthdate*", "*dateofbirth*", "birthday", "dob",
)  # fmt: skip
"""The names of fields that panels do not show before they are asked to: see `browse.masking`."""

_LIMITS = Limits()


class Settings(BaseSettings):
    """The settings, each from the environment, else from the profile, else its default.

    Attributes:
        database: The database's URI (`DATABASE_URI`); it is a secret, since it may hold a password.
        folders: Where `recover` looks for backups (`RECOVERY_NB_FOLDERS`, a JSON list).
        patterns: Which files there it takes for backups (`RECOVERY_NB_PATTERNS`, a JSON list).
        expanded_bytes: How many bytes one compressed file may expand to (`RECOVERY_NB_EXPANDED_BYTES`).
        expansion_ratio: To how many times its size, past the first 64 MiB (`RECOVERY_NB_EXPANSION_RATIO`).
        nesting: How many archives, or layers of compression, may be in each other (`RECOVERY_NB_NESTING`).
        members: How many files of one folder or archive are looked at (`RECOVERY_NB_MEMBERS`).
        masked: The names of fields whose values a panel hides until it is asked for them: `*` stands for any
            characters, case and separators do not count (`RECOVERY_NB_MASKED`, a JSON list; `[]` hides none).
        age_identities: Files with the keys that open age-encrypted sources (`RECOVERY_NB_AGE_IDENTITIES`, one path, or
            several with colons between them).
        age_passphrase: The passphrase that opens them (`RECOVERY_NB_AGE_PASSPHRASE`), a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="RECOVERY_NB_", toml_file=PROFILE, hide_input_in_errors=True, frozen=True, extra="forbid"
    )

    database: SecretStr = Field(default=SecretStr(""), validation_alias=AliasChoices("DATABASE_URI", "database"))
    folders: tuple[Path, ...] = (Path(), Path("backups"), Path("exports"), Path("data"))
    patterns: tuple[str, ...] = PATTERNS

    expanded_bytes: PositiveInt = _LIMITS.expanded_bytes
    expansion_ratio: PositiveInt = _LIMITS.ratio
    nesting: PositiveInt = _LIMITS.nesting
    members: PositiveInt = _LIMITS.members
    masked: tuple[str, ...] = MASKED
    age_identities: Annotated[tuple[Path, ...], NoDecode] = ()
    age_passphrase: SecretStr | None = None

    @field_validator("age_identities", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        return tuple(path for path in value.split(os.pathsep) if path) if isinstance(value, str) else value

    def expansion(self) -> Expansion:
        """Return how far sources are expanded, and what opens encrypted ones."""
        limits = Limits(self.expanded_bytes, self.expansion_ratio, self.nesting, self.members)
        return Expansion(limits, AgeKeys(self.age_identities, self.age_passphrase))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment before the profile."""
        return env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings() -> Settings:
    """Return the settings in force.

    Raises:
        BadInputError: The profile, or a variable, holds what cannot be used; its value is not quoted.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise BadInputError(
            f"the setting {name} cannot be used: {first['msg']}",
            hint=f"mend it in {PROFILE} or the environment",
        ) from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"{PROFILE} cannot be read: {error}", hint="mend it, or move it away") from None
