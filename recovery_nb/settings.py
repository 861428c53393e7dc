"""What a user can set once: by environment, or in `recovery-nb.toml` in the working folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from recovery_nb.errors import BadInputError

__all__ = ["PROFILE", "Settings", "load_settings"]

PROFILE = "recovery-nb.toml"
"""The profile: a TOML file in the working folder with the names of `Settings` as keys."""


class Settings(BaseSettings):
    """The settings, each from the environment, else from the profile, else its default.

    Attributes:
        database: The database's URI (`DATABASE_URI`); it is a secret, since it may hold a password.
        folders: Where `recover` looks for backups (`RECOVERY_NB_FOLDERS`, a JSON list).
        patterns: Which files there it takes for backups (`RECOVERY_NB_PATTERNS`, a JSON list).
    """

    model_config = SettingsConfigDict(
        env_prefix="RECOVERY_NB_", toml_file=PROFILE, hide_input_in_errors=True, frozen=True, extra="forbid"
    )

    database: SecretStr = Field(default=SecretStr(""), validation_alias=AliasChoices("DATABASE_URI", "database"))
    folders: tuple[Path, ...] = (Path(), Path("backups"), Path("exports"), Path("data"))
    patterns: tuple[str, ...] = ("**/backup*.json", "**/export*.json", "**/*_data.json")

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
