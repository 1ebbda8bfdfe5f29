"""Workers of a Ray cluster (https://ray.io): every machine of it has this version of Sandlot installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from launch.spread import Each
from robot.errors import SandlotError


class RayCluster:
    """``address`` as ``ray.init`` takes it (``auto``: the one that runs on this machine; ``local``: a new
    one); ``carry_out``: what a worker does with an order. Raises SandlotError if there is none."""

    def __init__(self, address: str, carry_out: Callable[[bytes], bytes]) -> None:
        import ray

        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise SandlotError(
                f"no Ray cluster at {address!r}: {error}; `ray start --head` starts one"
            ) from None
        self._ray = ray
        self._carry_out = ray.remote(num_cpus=1, max_retries=3)(carry_out)

    def __call__(self, orders: Sequence[bytes], each: Each) -> None:
        """Carry all of them out; a worker that is lost is made up for. Raises SandlotError for an order that
        fails everywhere."""
        ray = self._ray
        numbers = {self._carry_out.remote(order): number for number, order in enumerate(orders)}
        waiting = list(numbers)
        while waiting:
            done, waiting = ray.wait(waiting)
            for answer in done:
                try:
                    each(numbers[answer], ray.get(answer))
                except ray.exceptions.RayError as error:
                    raise SandlotError(f"work failed on the Ray cluster: {error}") from error

    def close(self) -> None:
        self._ray.shutdown()
