"""The interactive prompt of `wemart sql`: editing, completion and history around a `Shell`.

Names for completion are collected in another thread once the prompt is there: the declarations of all tables take a
good part of a second to import. The first statement waits for them: the session is used by one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import click
import duckdb
from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.shortcuts import CompleteStyle

from wemart_assets.lake.errors import WemartError
from wemart_assets.sql.completion import Names, first_words
from wemart_assets.sql.session import ctrl_c_as_such
from wemart_assets.sql.shell import COMMANDS, WORDS, Shell, is_utf_8
from wemart_assets.sql.statements import is_complete
from wemart_assets.text import visible

PROMPT, CONTINUATION = "wemart> ", "   ...> "
# Of commands that take the name of a table.
NAMING = ("\\d ", "\\dt ")


def run_prompt(shell: Shell, collect: Callable[[], Names], history: Path, welcome: str) -> None:
    """Reads and runs statements and commands until the user leaves. An error does not end the prompt.

    Everything that was typed is appended to the file `history`, which only this user can read.
    """
    with ThreadPoolExecutor(1) as background:
        names = _Collected(background, collect)
        prompt: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=Condition(lambda: not _is_finished(get_app().current_buffer)),
            prompt_continuation=lambda _width, _line, _is_wrapped: CONTINUATION,
            completer=_Completer(shell, names),
            complete_while_typing=False,
            # What Tab inserts does not depend on how fast one types on.
            complete_style=CompleteStyle.READLINE_LIKE,
            key_bindings=_bindings(),
            history=_History(_opened(history, shell.warn)),
            enable_history_search=True,
        )
        prompt.app.after_render += names.start
        shell.echo(welcome)
        last, default = "", ""
        while not shell.is_over:
            try:
                text = prompt.prompt(default=default)
            except KeyboardInterrupt:
                # Ctrl-C discards what has been typed.
                default = ""
                continue
            except EOFError:
                return
            default = ""
            if text.strip().removesuffix(";").rstrip() == "\\e":
                default = _edited(last, shell.warn)
            elif text.strip():
                last = last if text.lstrip().startswith("\\") else text
                _run(shell, text, names)


class _Collected:
    """The names for completion, collected in the background once that has been started."""

    def __init__(self, background: Executor, collect: Callable[[], Names]) -> None:
        self._background = background
        self._collect = collect
        self._names: Future[Names] | None = None

    def start(self, _application: object = None) -> None:
        if self._names is None:
            self._names = self._background.submit(self._collect)

    def wait(self) -> Names:
        self.start()
        assert self._names is not None
        return self._names.result()


def _run(shell: Shell, text: str, names: _Collected) -> None:
    """Runs the text, and shows the error if it fails."""
    try:
        names.wait()
        with ctrl_c_as_such():
            shell.run(text)
    except (duckdb.Error, WemartError) as error:
        problem = visible(str(error), keep="\n\t")
        shell.warn(f"Error: {problem}")
    except KeyboardInterrupt:
        shell.warn("\nCancelled.")


def _is_finished(buffer: Buffer) -> bool:
    """Whether Enter runs the text, instead of beginning another line."""
    text = buffer.text.strip()
    if not text or text.startswith("\\") or text.lower() in WORDS or not is_utf_8(text) or is_complete(text):
        return True
    # An empty line runs a text that ends with a semicolon even if that seems to be in a string that never ends.
    return text.endswith(";") and buffer.document.current_line == ""


def _bindings() -> KeyBindings:
    """The keys besides those of every prompt."""
    bindings = KeyBindings()
    # Typed or pasted, the colours of a terminal look like the mouse to prompt_toolkit, which then fails to read them.
    bindings.add(Keys.Vt100MouseEvent)(lambda _event: None)
    return bindings


def _opened(history: Path, warn: Callable[[str], None]) -> Path:
    """Returns the file, which exists if that is possible."""
    try:
        history.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(history, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600))
    except OSError as error:
        warn(f"The history {history} is not kept: {error.strerror}")
        return Path(os.devnull)
    return history


class _History(FileHistory):
    """A history whose file may become unwritable, or get text that is not UTF-8, without ending the prompt."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))

    def store_string(self, string: str) -> None:
        with suppress(OSError, UnicodeEncodeError):
            super().store_string(string)


class _Completer(Completer):
    """Completes commands and statements."""

    def __init__(self, shell: Shell, names: _Collected) -> None:
        self._shell = shell
        self._names = names

    def get_completions(self, document: Document, _event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        found = first_words(COMMANDS, before)
        if found is None:
            if before.lstrip().startswith("\\") and not before.lstrip().startswith(NAMING):
                return
            found = self._complete(before, document.text_after_cursor)
        words, length = found
        for word in words:
            yield Completion(word, start_position=-length)

    def _complete(self, before: str, after: str) -> tuple[list[str], int]:
        names = self._names.wait()
        tables = {**names.tables, **self._shell.session.shadows}
        if before.lstrip().startswith("\\"):
            before = "describe " + before.lstrip().partition(" ")[2]
        return Names(tables, names.functions, names.words).complete(before, after)


def _edited(text: str, warn: Callable[[str], None]) -> str:
    """Returns the text as saved in the user's editor; empty if it was not saved, or cannot be used."""
    try:
        return (click.edit(text, extension=".sql") or "").rstrip()
    except click.ClickException as error:
        warn(f"Error: {error.message}")
    except UnicodeError:
        warn("Error: the text is not UTF-8")
    except KeyboardInterrupt:
        # Ctrl-C reaches the editor and this process.
        warn("\nCancelled.")
    return ""
