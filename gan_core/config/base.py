"""What all sections of a configuration share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Dagster forbids | , [ ] in partition keys; slashes and spaces would not survive as folder names.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)]


class Config(BaseModel):
    """Base of all sections: unknown keys are errors, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Contradiction(ValueError):
    """Values that do not go together. `key` is the dotted key, below the section that raises it, whose line
    the user should look at."""

    def __init__(self, key: str, message: str):
        super().__init__(message)
        self.key = key
