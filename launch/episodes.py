"""Where episodes of the batched twin take place, by name: robot, course and the room around it."""

from __future__ import annotations

from launch import catalogue
from launch.calibrated import calibrated_spec
from launch.session import contract_of, make_task
from robot.practice.course import load_course
from robot.spec import at_site
from sim.rollout import TIMESTEP, Setting
from sim.world import load_world


def course_setting(
    robot: str,
    course: str,
    seconds: float | None = None,
    timestep: float = TIMESTEP,
    threads: int = 0,
    world: str | None = None,
    surrogate: str | None = None,
) -> Setting:
    """The setting of a robot, or of the surrogate in its place, as it is calibrated, on a course of the
    catalogue. ``seconds``: how long an episode may last (None: as the task's success says); ``world``: its
    surroundings (None: named like the course). Raises SandlotError with the nearest names."""
    path = catalogue.find("courses", course)
    found = load_course(path)
    spec = at_site(calibrated_spec(robot, surrogate), found.file.site)
    return Setting(
        spec=spec,
        contract=contract_of(spec, make_task(spec, found)),
        course=found,
        world=load_world(catalogue.world(world, path.stem)),
        make_task=lambda: make_task(spec, found),
        seconds=seconds,
        timestep=timestep,
        threads=threads,
    )
