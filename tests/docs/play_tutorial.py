"""Plays the tutorial as a reader would: the pages' commands in order, in an empty folder. Some minutes, by hand only.

Usage: python tests/docs/play_tutorial.py FOLDER [LAST_LEVEL]
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "tutorial"
BLOCK = re.compile(r"```(sh|python)\n(.*?)```", re.DOTALL)


def play(folder: Path, last: int) -> None:
    """Carry out the commands of all pages up to a level and print what they say."""
    shutil.copy(PAGES / "outside.py", folder)
    script = ["set -e", "trap 'kill $UP' EXIT"]
    for level in range(last + 1):
        script.append(f"echo; echo '======== level {level}'")
        for kind, text in BLOCK.findall((PAGES / f"level-{level}.md").read_text()):
            if kind == "python":
                script += [f"cat > busy.py <<'END'\n{text}END", "sleep 4"]
                continue
            script += [line for command in text.splitlines() for line in _as_script(command)]
    command = ["bash", "-c", "\n".join(script)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path, "COLUMNS": "100"}, check=True)


def _as_script(command: str) -> list[str]:
    # The reader has two terminals and reads numbers off the screen; here one shell does.
    if command == "ratchet up":
        return ["ratchet up > up.out & UP=$!", "sleep 9"]
    if command.endswith("freeze"):
        return ["kill $UP; wait $UP || true", command]
    return [f"echo; echo '$ {command.replace(chr(39), chr(34))}'", command]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    play(target, int(sys.argv[2]) if len(sys.argv) > 2 else 4)
