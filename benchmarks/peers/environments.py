"""A virtual environment for each competitor, so that none of them dictates the versions of another."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = Path(__file__).resolve().parent


def ensure_environment(name: str, requirements: Path) -> Path:
    """The interpreter of an environment with what a file of requirements names. Built anew when the file changes.

    Packages come from wherever pip is set up to look.
    """
    folder = ROOT / ".venvs" / f"bench-{name}"
    interpreter = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / ".installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"building {folder.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip: list[str | Path] = [interpreter, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--requirement", requirements], check=True, cwd=ROOT)
        # Last, so that an installation that was cut off is begun again.
        stamp.write_text(wanted)
    return interpreter


def peer_names() -> list[str]:
    """The folders that hold a competitor."""
    return sorted(path.parent.name for path in PEERS.glob("*/module.py"))
