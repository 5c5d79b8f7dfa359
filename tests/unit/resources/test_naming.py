"""Generated names are legal, stable and tell VM and job."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failed_execution_cleanup.resources.naming import cleanup_name

JOB = "6f0c9a12-3b1d-4a55-9c51-0d6f0e6f2b7a"
DNS_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@pytest.mark.parametrize(
    ("vm_name", "name"),
    [
        ("pgtest1", "pgtest1-6f0c9a12"),
        ("PG Test 1", "pg-test-1-6f0c9a12"),
        ("Büro_Server (alt)", "buro-server-alt-6f0c9a12"),
        ("数据库", "vm-6f0c9a12"),
        ("---", "vm-6f0c9a12"),
        ("a" * 53 + "-b", "a" * 53 + "-6f0c9a12"),
    ],
)
def test_vm_names_become_slugs(vm_name: str, name: str) -> None:
    assert cleanup_name(vm_name, JOB) == name


@given(st.text(), st.text(min_size=1))
def test_every_vm_and_job_give_a_dns_label(vm_name: str, job_id: str) -> None:
    assert DNS_1123_LABEL.fullmatch(cleanup_name(vm_name, job_id))


def test_jobs_with_a_common_prefix_have_different_names() -> None:
    assert cleanup_name("pg", "failover-20260504-1200") != cleanup_name("pg", "failover-20260504-1300")


def test_an_empty_job_id_is_refused() -> None:
    with pytest.raises(ValueError, match="'pg' needs a failover job id"):
        cleanup_name("pg", "")
