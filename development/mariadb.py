"""A private MariaDB 10.11, the production version of the appliance's database, on a free loopback port.

The server has MariaDB's own defaults, but for what the appliance's database has (utf8mb4, utf8mb4_general_ci) and what
makes a small throwaway server fast. Only one account, which may do everything, is reachable over TCP; its password is
made afresh for each server.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from development.cache import cache_directory, exclusive
from development.processes import LOOPBACK, MissingProgramError, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY_SECONDS = 30.0
_USER = "developer"
_DATABASE_NAME = re.compile(r"\w{1,64}", re.ASCII)
_UTC_OFFSET = re.compile(r"[+-]\d{1,2}:\d{2}")
_LOG_FILE_SIZE = "--innodb-log-file-size=8M"


class MariaDB:
    """A private server; made by `private_mariadb()`.

    Attributes:
        port: TCP port on the loopback interface; stays the same over restarts.
        log: The server's error log.
    """

    def __init__(self, directory: Path, timezone: str | None) -> None:
        self.port = free_port()
        self.log = directory / "mariadbd.log"
        self._server = _find_program("mariadbd")
        self._client = _find_program("mariadb")
        self._directory = directory
        self._timezone = timezone
        self._password = secrets.token_urlsafe(16)
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"<MariaDB {LOOPBACK}:{self.port}>"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the server, without a database; holds the password."""
        return f"mysql+asyncmy://{_USER}:{self._password}@{LOOPBACK}:{self.port}/"

    def create_database(self, name: str) -> str:
        """Create an empty database with the server's character set and return its SQLAlchemy URL.

        Raises:
            ValueError: When the name is not made of ASCII letters, digits and underscores.
            subprocess.CalledProcessError: When it exists already.
        """
        if not _DATABASE_NAME.fullmatch(name):
            raise ValueError(f"not a database name: {name!r}")
        self._execute(f"CREATE DATABASE `{name}`")
        return self.url + name

    def start(self) -> None:
        """Start the server and wait until it answers; call it from the main thread.

        Raises:
            ProcessError: When it does not come up; shows the end of its log.
        """
        init_file = self._directory / "init.sql"
        init_file.touch(mode=0o600)
        # Run at every start, so it must bear being repeated.
        init_file.write_text(
            f"CREATE USER IF NOT EXISTS '{_USER}'@'{LOOPBACK}' IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO '{_USER}'@'{LOOPBACK}';\n"
        )
        command = [
            str(self._server),
            "--no-defaults",
            f"--datadir={self._directory / 'data'}",
            f"--socket={self._socket}",
            f"--pid-file={self._directory / 'mariadbd.pid'}",
            f"--tmpdir={self._directory}",
            f"--init-file={init_file}",
            f"--bind-address={LOOPBACK}",
            f"--port={self.port}",
            "--skip-networking=0",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-buffer-pool-size=64M",
            _LOG_FILE_SIZE,
            # What is committed outlives a killed server, though not a lost machine.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
        ]
        environment = dict(os.environ)
        if self._timezone is not None and _UTC_OFFSET.fullmatch(self._timezone):
            command.append(f"--default-time-zone={self._timezone}")
        elif self._timezone is not None:
            environment["TZ"] = self._timezone
        if os.geteuid() == 0:
            command.append("--user=root")
        process = Process.start("mariadbd", command, log=self.log, env=environment)
        self._process = process
        process.wait_until(self._is_ready, seconds=_READY_SECONDS)

    def stop(self) -> None:
        """Shut the server down in order; the data stays. May be called again."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End the server at once, as a crash does; `start()` then recovers the data."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Shut the server down and start it again, on the same port with the same data."""
        self.stop()
        self.start()

    @property
    def _socket(self) -> Path:
        return self._directory / "mariadbd.sock"

    def _is_ready(self) -> bool:
        # The server listens only after the init file has run.
        return self._run_client("SELECT 1").returncode == 0

    def _execute(self, statement: str) -> None:
        result = self._run_client(statement)
        if result.returncode != 0:
            raise subprocess.CalledProcessError(result.returncode, statement, result.stdout, result.stderr)

    def _run_client(self, statement: str) -> subprocess.CompletedProcess[str]:
        # Over the socket the server knows the system's user, so no password is needed.
        command = [str(self._client), "--no-defaults", f"--socket={self._socket}", f"--user={getpass.getuser()}"]
        return subprocess.run([*command, "--execute", statement], capture_output=True, text=True, check=False)


@contextmanager
def private_mariadb(timezone: str | None = None) -> Iterator[MariaDB]:
    """Run a private server until the block ends.

    Args:
        timezone: The server's time zone: an offset such as `+02:00`, or a name such as `Europe/Berlin`, given to the
            server as `TZ`, so that its clock jumps as the appliance's does. The system's when omitted.

    Raises:
        MissingProgramError: When MariaDB is not installed.
        ProcessError: When the server does not come up.
    """
    # Short: a socket's path may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="mariadb-", dir="/tmp") as temporary:
        directory = Path(temporary)
        server = MariaDB(directory, timezone)
        shutil.copytree(_empty_data_directory(), directory / "data")
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _empty_data_directory() -> Path:
    """Return a data directory with the system tables alone; made once per version, as a copy is ten times quicker."""
    version_line = subprocess.run([_find_program("mariadbd"), "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"Ver (\S+)", version_line.stdout)
    if version is None:
        raise ValueError(f"no version in {version_line.stdout!r}")
    target = cache_directory() / "mariadb" / version[1]
    with exclusive(target.parent):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
                unfinished = Path(temporary) / "data"
                _install_system_tables(unfinished)
                unfinished.rename(target)
    return target


def _install_system_tables(directory: Path) -> None:
    user = getpass.getuser()
    command = [str(_find_program("mariadb-install-db")), "--no-defaults", f"--datadir={directory}"]
    command += [f"--auth-root-socket-user={user}", "--skip-test-db", "--skip-name-resolve", _LOG_FILE_SIZE]
    if os.geteuid() == 0:
        command.append("--user=root")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"mariadb-install-db failed:\n{result.stdout}{result.stderr}")


def _find_program(name: str) -> Path:
    # Debian puts the server into /usr/sbin, which is not on every user's PATH.
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise MissingProgramError(f"{name} not found: install Debian's mariadb-server (10.11)")
    return Path(found)
