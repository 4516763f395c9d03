"""Where the tests run for everybody, the sandbox is whole: what it holds back is tried there, not skipped."""

import os

import pytest

from explainers.runtime import sandbox


@pytest.mark.skipif(not os.environ.get("CI"), reason="a machine of one's own may have an older kernel")
def test_continuous_integration_has_every_barrier():
    host = sandbox.host()
    assert host.contained, host.sentence
