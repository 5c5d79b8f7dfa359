"""Keys and certificates of one control plane: made afresh at every start, valid for a few days."""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_VALID_FOR = datetime.timedelta(days=7)
# Against clocks that were set back a little.
_VALID_SINCE = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Credential:
    """A private key and its certificate, as PEM files."""

    certificate: Path
    key: Path


class CertificateAuthority:
    """A self-signed authority that writes what it issues to a directory.

    Attributes:
        certificate: The authority's own certificate, as a PEM file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control-plane-ca")])
        certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = directory / "ca.crt"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue_server(self, name: str, *, hosts: Sequence[str], addresses: Sequence[str]) -> Credential:
        """Issue a serving certificate for these host names and IP addresses."""
        alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._issue(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(alternatives))

    def issue_client(self, user: str, *, group: str) -> Credential:
        """Issue a client certificate; Kubernetes reads the user from its CN and the group from its O."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, user))
        return self._issue(user, x509.Name(attributes), ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(
        self,
        file_name: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> Credential:
        key_file = self._directory / f"{file_name}.key"
        key = write_private_key(key_file)
        builder = self._builder(subject, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        certificate_file = self._directory / f"{file_name}.crt"
        certificate = builder.sign(self._key, hashes.SHA256())
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return Credential(certificate_file, key_file)

    def _builder(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        authority = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _VALID_SINCE)
            .not_valid_after(now + _VALID_FOR)
            # Python 3.13 and newer verify strictly and want both identifiers.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority),
                critical=False,
            )
        )


def write_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a private key and write it to a new PEM file that only the user may read."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        # "EC PRIVATE KEY": kube-apiserver derives the public key for service account tokens from this form only.
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return key
