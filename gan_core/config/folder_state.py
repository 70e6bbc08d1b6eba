"""What a configuration folder holds, as one digest: to see whether it is as it was."""

import hashlib
from pathlib import Path


def folder_state(folder: Path) -> str:
    """64 hex digits of the names and contents of its YAML files; one that cannot be read counts by name."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.y*ml")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError:
            content = b""
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
