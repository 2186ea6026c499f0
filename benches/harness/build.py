"""Builds what is measured: the release binaries and, for the peer, a Python environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"
WORK = TARGET / "benches"
FLASK = ROOT / "benches" / "peers" / "flask"


def binaries():
    """Compiles everything in release; `CARGO` may name another cargo."""
    cargo = os.environ.get("CARGO", "cargo")
    subprocess.run([cargo, "build", "--release", "--workspace", "--bins"], cwd=ROOT, check=True)


def python_for_flask():
    """The interpreter of an environment holding exactly the peer's requirements."""
    home = WORK / "venv"
    python = home / "bin" / "python"
    wanted = (FLASK / "requirements.txt").read_text()
    stamp = home / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing Flask and gunicorn below target/benches/venv", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "-r", FLASK / "requirements.txt"]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    return python
