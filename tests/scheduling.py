"""Which pytest-xdist worker runs which test next: tests that wait beside tests that compute."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

INTEGRATION = "tests/integration/"
SERVICES = (INTEGRATION, "tests/architecture/test_wheel.py")

# Their tests share a Ray head, a broker of their own or what npm fetched, so each of these files
# goes to one worker as a whole.
SHARED_SERVICE = (
    "test_foreign_producers.py",
    "test_secured_kafka.py",
    "test_serving.py",
    "test_serving_endpoint.py",
    "test_trainer.py",
)

# The longest come first, so that no worker is left alone with one of them at the end. A name that
# is missing here costs time and nothing else.
LONGEST = (
    "test_serving.py",
    "test_demo.py::test_a_demo_that_was_killed_does_not_hinder_the_next",
    "test_trainer.py",
    "test_serving_benchmarks.py",
    "test_swap_storm.py",
    "test_demo.py::test_the_demo_ends_with_its_report_and_leaves_nothing",
    "test_up.py",
    "test_rolling_restart.py",
    "test_serving_endpoint.py",
    "test_crash_storm.py",
)


def uses_services(unit: str) -> bool:
    """Whether the tests of this unit wait for Kafka, Ray or an S3 server most of the time."""
    return unit.startswith(SERVICES)


def rank(unit: str) -> int:
    """The place of the unit in ``LONGEST``, or the place behind the last one."""
    name = unit.removeprefix(INTEGRATION)
    return next((i for i, long in enumerate(LONGEST) if name.startswith(long)), len(LONGEST))


class MixedScheduling(LoadScopeScheduling):
    """Keeps the tests of a file together, and integration tests apart unless they share a Ray.

    Workers with an even number prefer integration tests, which mostly wait; the others prefer
    tests that compute. So the cores are busy, and no more than half of the workers start Kafka
    and Ray at a time while there is anything else to run.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        shared = file.removeprefix(INTEGRATION) in SHARED_SERVICE
        return nodeid if file.startswith(INTEGRATION) and not shared else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        prefers_services = int(node.gateway.id.removeprefix("gw")) % 2 == 0
        unit = min(
            self.workqueue, key=lambda unit: (uses_services(unit) != prefers_services, rank(unit))
        )
        self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)
