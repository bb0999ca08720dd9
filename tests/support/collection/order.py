"""In which order, and in which of pytest-xdist's workers, the tests run.

All tests of a file run in one worker, so that a fixture of a module is set up once. All tests below ``tests/e2e/images`` run in
one worker, so that each image is built and started once. All tests below ``tests/integration/images/NAME`` run in one worker, so
that the image is baked once. Groups follow from the name of a test alone, because the controller, which shares them out, has no
more.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

BUILT_IMAGES = "tests/e2e/images"
BAKED_IMAGES = "tests/integration/images"


def group_of(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    if path.startswith(f"{BUILT_IMAGES}/"):
        return BUILT_IMAGES
    if path.startswith(f"{BAKED_IMAGES}/"):
        return "/".join(path.split("/")[:4])  # tests/integration/images/NAME
    return path


def sort_groups(items: list[pytest.Item]) -> None:
    """Begin with the groups that take longest: the images, then the other tests that need the Engine, then the rest.

    pytest-xdist keeps this order with ``--no-loadscope-reorder``.
    """
    items.sort(key=lambda item: rank(group_of(item.nodeid)))  # stable: the tests of a file keep their order


def rank(group: str) -> int:
    if group == BUILT_IMAGES:
        return 0
    if group.startswith(f"{BAKED_IMAGES}/"):
        return 1
    return 2 if group.startswith("tests/e2e/") else 3


class GroupScheduling(LoadFileScheduling):  # type: ignore[misc]
    """pytest-xdist's distribution of files to workers, with all tests of images in one group. It goes on after a worker crashed.

    That of pytest-xdist 3.8.0 waits forever after a crash (pytest-dev/pytest-xdist#1323, #1327), or runs the test that crashed
    again in each new worker (#1371). Here that test has failed, and a new worker runs the rest of the group.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """The test that ``node`` was running when it ended."""
        pending = {group: tests for group, tests in self.assigned_work.pop(node).items() if not all(tests.values())}
        if not pending:
            return None
        tests = next(iter(pending.values()))
        crashed: str = next(name for name, completed in tests.items() if not completed)
        tests[crashed] = True
        self.workqueue.update((group, tests) for group, tests in pending.items() if not all(tests.values()))
        for each in self.assigned_work:
            self._reschedule(each)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        """A worker begins a test only if it has the next one, or knows that there is none."""
        if node not in self.registered_collections:  # it is new, and still collects the tests
            return
        super()._reschedule(node)
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)
