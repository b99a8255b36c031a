"""A private nginx on loopback that runs deploy/nginx.conf: the file as it is, with a test's names and ports in it."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.install import find_nginx
from tests.services.process import OwnedProcess, ServerFailed, wait_until

MAIN = """\
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr notice;
worker_processes 1;
events {{}}
http {{
    include /etc/nginx/mime.types;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class NginxServer:
    """`with NginxServer(config, {"listen 443": "listen 127.0.0.1:12345", ...}) as nginx:` -- has its certificate ready.

    Args:
        config: The site's configuration.
        changes: What it says, and what it is to say here. Each must be there.
    """

    def __init__(self, config: str, changes: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="switchboard-nginx-"))
        self.certificate = self.folder / "chat.pem"
        make_certificate(self.certificate, self.folder / "chat.key")
        for old, new in {"/etc/ssl/": f"{self.folder}/", **changes}.items():
            assert old in config, f"deploy/nginx.conf no longer says {old!r}"
            config = config.replace(old, new)
        (self.folder / "site.conf").write_text(config)
        user = "user root;" if os.geteuid() == 0 else ""  # it has to read the test's folders
        (self.folder / "nginx.conf").write_text(MAIN.format(folder=self.folder, user=user))
        self._process: OwnedProcess | None = None

    def __enter__(self) -> NginxServer:
        program = find_nginx()
        assert program is not None
        command = [program, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        process = self._process = OwnedProcess(command, self.folder / "nginx.log")
        wait_until(lambda: "start worker process" in process.output() or not process.is_running, "nginx starts")
        if not process.is_running:
            raise ServerFailed(f"nginx does not start\n{process.last_words()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def make_certificate(certificate: Path, key_file: Path) -> None:
    """Write a certificate for this machine, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
