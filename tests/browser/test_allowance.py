"""The one error of JupyterLab's that is allowed, and nothing near it."""

import pytest

from tests.browser.conftest import is_jupyterlabs_own

OWN = """NotFoundError: Failed to execute 'removeChild' on 'Node': The node is not a child.
    at c.detachWidget (http://127.0.0.1:1/static/lab/jlab_core.1.js:1:2)
    at c.removeWidget (http://127.0.0.1:1/static/lab/jlab_core.1.js:1:3)"""


def test_the_known_error_is_known():
    assert is_jupyterlabs_own(OWN)


@pytest.mark.parametrize(
    "stack",
    [
        OWN.replace("removeChild", "appendChild"),
        OWN.replace("NotFoundError", "TypeError"),
        OWN + "\n    at Map.draw (blob:http://127.0.0.1:1/ab:10:5)",
        OWN + "\n    at x (http://127.0.0.1:1/lab/extensions/@jupyter-widgets/a.js:1:2)",
        OWN.splitlines()[0],
        "TypeError: x is undefined\n    at c (http://127.0.0.1:1/static/lab/jlab_core.1.js:1:2)",
    ],
)
def test_what_is_like_it_is_not_allowed(stack):
    assert not is_jupyterlabs_own(stack)
