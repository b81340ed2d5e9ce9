"""Places outside the database where checkpoints are written, so that a rewritten ledger shows: files and git.

Invariant: an anchor only grows; what it holds is read back and compared, and a checkpoint that contradicts it is never
written to it.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ratchet.errors import AnchorFailed, CheckpointInvalid
from ratchet.store.artifacts import sync_path

GIT_BRANCH = "ratchet-ledger"
_FILE_IN_GIT = "checkpoint"
_GIT_SECONDS = 60.0
# A note that was begun at the end of a file, and has no whole line with a signature.
_BEGUN = r"ratchet/[^\n]*(?:\n[^\n]+){0,2}(?:\n{0,2}|\n\n" + "\N{EM DASH}" + r"[^\n]*)"
_TORN = re.compile(rf"(?:\A|(?<=\n))(?:r|ra|rat|ratc|ratch|ratche|ratchet|{_BEGUN})\Z")
_NOTE = re.compile(r"(?:[^\n]+\n)+\n(?:\N{EM DASH} [^\n]+\n)+")


class Anchor(Protocol):
    """A place for checkpoints."""

    name: str

    def read(self) -> list[str]:
        """Return the notes that are there, the oldest first."""

    def write(self, note: str) -> None:
        """Add a note."""


class FileAnchor:
    """A file to which notes are appended: on another disk, on a mounted share, in a store that writes once.

    Args:
        path: Of the file; it is made at the first write, its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"file:{path}"

    def read(self) -> list[str]:
        """Return the notes in the file, the oldest first.

        Raises:
            AnchorFailed: It cannot be read, or has something else in it.
        """
        return split_notes(self._whole_notes(), where=self.name)

    def _whole_notes(self) -> str:
        """Return what is in the file, but for a last note whose writing broke off."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise AnchorFailed(anchor=self.name, problem=f"it cannot be read ({error.strerror})") from error
        try:
            found = content.decode()
        except UnicodeDecodeError as error:
            if error.end < len(content):
                raise AnchorFailed(anchor=self.name, problem="it cannot be read (it is no text)") from error
            # It broke off within the dash of a signature.
            found = content[: error.start].decode()
        return _TORN.sub("", found)

    def write(self, note: str) -> None:
        """Append a note, and return when it is on the disk.

        Raises:
            AnchorFailed: The file cannot be written.
        """
        is_new = not self.path.exists()
        whole = len(self._whole_notes().encode())
        try:
            if not is_new and self.path.stat().st_size > whole:
                # Else the new note would be taken for the rest of the one that broke off.
                os.truncate(self.path, whole)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(note if is_new else f"\n{note}")
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_path(self.path.parent)
        except OSError as error:
            raise AnchorFailed(anchor=self.name, problem=f"it cannot be written ({error.strerror})") from error


class GitAnchor:
    """A branch of its own in a git repository: one commit a checkpoint, made without touching any working tree.

    Args:
        repository: The repository's folder.
        branch: Push it as any other branch; whoever has it can tell.
    """

    def __init__(self, repository: Path, branch: str = GIT_BRANCH) -> None:
        self.repository = repository
        self.branch = branch
        self.name = f"git:{repository}" + ("" if branch == GIT_BRANCH else f"#{branch}")

    def read(self) -> list[str]:
        """Return the notes on the branch, the oldest first.

        Raises:
            AnchorFailed: This is no repository, or a commit has something else in it.
        """
        if not self._tip():
            return []
        commits = self._git("rev-list", "--reverse", "--first-parent", self._reference()).split()
        names = "".join(f"{commit}:{_FILE_IN_GIT}\n" for commit in commits)
        answer = self._git("cat-file", "--batch", content=names)
        notes = []
        while answer:
            header, _, rest = answer.partition("\n")
            kind = header.split()
            if kind[1:2] != ["blob"]:
                raise AnchorFailed(anchor=self.name, problem=f"a commit on the branch {self.branch} is not one of ours")
            # Sizes are in bytes, and the dash of a signature has three of them.
            content = rest.encode()[: int(kind[2])]
            answer = rest.encode()[int(kind[2]) + 1 :].decode()
            notes += split_notes(content.decode(), where=self.name)
        return notes

    def write(self, note: str) -> None:
        """Commit a note.

        Raises:
            AnchorFailed: This is no repository, git is missing, or somebody else commits at the same time.
        """
        tip = self._tip()
        blob = self._git("hash-object", "-w", "--stdin", content=note)
        folder = self._git("mktree", content=f"100644 blob {blob}\t{_FILE_IN_GIT}\n")
        origin, size = note.splitlines()[:2]
        message = f"Checkpoint of {origin} at {size} entries"
        parents = ["-p", tip] if tip else []
        commit = self._git("commit-tree", folder, *parents, "-m", message)
        self._git("update-ref", "-m", message, self._reference(), commit, tip or "0" * len(commit))

    def _reference(self) -> str:
        return f"refs/heads/{self.branch}"

    def _tip(self) -> str:
        self._git("rev-parse", "--git-dir")
        return self._git("for-each-ref", "--format=%(objectname)", self._reference())

    def _git(self, *arguments: str, content: str = "") -> str:
        # The commits are Ratchet's, whoever's account it runs under; git asks for a name otherwise.
        who = {f"GIT_{role}_{part}": "ratchet" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        try:
            done = subprocess.run(  # noqa: S603, the words are ours, the folder is from the project's settings
                ["git", "-C", str(self.repository), *arguments],  # noqa: S607, git is wherever the path finds it
                input=content.encode(),
                capture_output=True,
                check=False,
                timeout=_GIT_SECONDS,
                env={**os.environ, **who, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AnchorFailed(anchor=self.name, problem=f"git cannot be run ({error})") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed"
            raise AnchorFailed(anchor=self.name, problem=said.removeprefix("fatal: "))
        return done.stdout.decode() if arguments[0] == "cat-file" else done.stdout.decode().strip()


def split_notes(content: str, *, where: str) -> list[str]:
    """Return the notes that stand one after the other in a text, empty lines between them.

    Raises:
        CheckpointInvalid: There is something else.
    """
    notes: list[str] = []
    position = 0
    while position < len(content):
        if content[position] == "\n":
            position += 1
            continue
        found = _NOTE.match(content, position)
        if found is None:
            problem = f"'{content[position:].splitlines()[0][:40]}' begins no signed note"
            raise CheckpointInvalid(where=where, problem=problem)
        notes.append(found[0])
        position = found.end()
    return notes


def parse_anchors(targets: Sequence[str], *, project: Path) -> list[Anchor]:
    """Return the anchors that the settings name.

    Args:
        targets: Such as ``file:/mnt/audit/flights.checkpoints``, ``git:../audit`` or ``git:../audit#branch``.
        project: What relative paths begin from.

    Raises:
        AnchorFailed: A target is neither.
    """
    found: list[Anchor] = []
    for target in targets:
        kind, _, place = target.partition(":")
        if not place or kind not in ("file", "git"):
            problem = "an anchor is written as file:PATH or git:REPOSITORY, with #BRANCH if wanted"
            raise AnchorFailed(anchor=target, problem=problem)
        if kind == "file":
            found.append(FileAnchor(project / Path(place).expanduser()))
        else:
            folder, _, branch = place.partition("#")
            found.append(GitAnchor(project / Path(folder).expanduser(), branch or GIT_BRANCH))
    return found
