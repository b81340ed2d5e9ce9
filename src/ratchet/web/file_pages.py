"""Pages about what people keep in files: all of a kind, and one by its name, read beside the request.

Invariant: a file that has changed shows without a new event in the ledger; a page whose files have changed since they
were read says that it comes again.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ratchet.measure.project_files import FileState, list_files
from ratchet.records import Record
from ratchet.web.background import Answer

if TYPE_CHECKING:
    from ratchet.workspace import Workspace


class Draw(Protocol):
    """Draws a page from a template."""

    def __call__(self, request: Request, template: str, **values: Any) -> Response:
        """Return the page."""


class Ask(Protocol):
    """Computes a value beside the request; what it depends on besides the ledger is ``files``."""

    def __call__(self, name: Hashable, files: Hashable, compute: Callable[[], Any]) -> Answer[Any]:
        """Return what is known of the value."""


class Reading(Record, frozen=True):
    """What was read for a page, with the files as they were then.

    Attributes:
        files: The project's files.
        found: All that was found in them.
        view: What the page of one of it shows; ``None`` on the page of all, and where nothing has the name.
    """

    files: tuple[FileState, ...]
    found: Any
    view: Any = None


class FilePages:
    """The two pages of one kind of file; a subclass says what is read and shown.

    Args:
        workspace: What is shown.
        ask: Computes beside a request.
        draw: Draws a page.
    """

    #: The first part of the address.
    address = ""

    def __init__(self, workspace: "Workspace", *, ask: Ask, draw: Draw) -> None:
        self._workspace = workspace
        self._ask = ask
        self._draw = draw

    @property
    def routes(self) -> list[Route]:
        """Return the addresses of these pages."""
        return [
            Route(f"/{self.address}", self.show_all, methods=["GET"]),
            Route(f"/{self.address}/{{name:path}}", self.show_one, methods=["GET"]),
        ]

    def show_all(self, request: Request) -> Response:
        """List all of the kind."""
        files = list_files(self._workspace.project)
        answer = self._ask(self.address, files, lambda: Reading(files=files, found=self.read(files)))
        found = answer.value.found if answer.value else None
        return self.draw_all(request, found, answer=answer, is_waiting=is_outdated(answer, files))

    def show_one(self, request: Request) -> Response:
        """Show one of the kind.

        Raises:
            UnknownName: None has the name.
        """
        name = request.path_params["name"]
        files = list_files(self._workspace.project)
        answer = self._ask((self.address, name), files, lambda: self._one(name, files))
        seen, is_waiting = answer.value, is_outdated(answer, files)
        if seen is not None and seen.view is None and not is_waiting:
            raise self.unknown(name, seen.found)
        view = seen.view if seen else None
        return self.draw_one(request, view, name=name, answer=answer, is_waiting=is_waiting)

    def _one(self, name: str, files: tuple[FileState, ...]) -> Reading:
        found = self.read(files)
        return Reading(files=files, found=found, view=self.view(name, found))

    # ---- what a subclass says

    def read(self, files: tuple[FileState, ...]) -> Any:
        """Return all that is found in the project's files."""
        raise NotImplementedError

    def view(self, name: str, found: Any) -> Any:
        """Return what the page of one shows; ``None`` where none has the name."""
        raise NotImplementedError

    def unknown(self, name: str, found: Any) -> Exception:
        """Return what to say of a name that none has."""
        raise NotImplementedError

    def draw_all(self, request: Request, found: Any, **values: Any) -> Response:
        """Draw the page of all; ``found`` is ``None`` while it is read."""
        raise NotImplementedError

    def draw_one(self, request: Request, view: Any, **values: Any) -> Response:
        """Draw the page of one; ``view`` is ``None`` while it is read."""
        raise NotImplementedError


def is_outdated(answer: Answer[Any], files: tuple[FileState, ...]) -> bool:
    """Tell whether a page has to come again: nothing was read yet, or files have changed since."""
    if answer.value is None:
        return not answer.problem
    return bool(answer.value.files != files)
