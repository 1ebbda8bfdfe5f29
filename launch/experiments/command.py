"""``sandlot experiment``: algorithms compared, a module with ``run(csv_file, seeds, progress)`` each."""

from __future__ import annotations

from launch.options.experiment import ExperimentOptions, ExperimentReturnsOptions


def alarm(options: ExperimentOptions) -> int:
    """The critics' alarm in long healthy runs and before divergence."""
    from launch.experiments import alarm as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def avtd(options: ExperimentOptions) -> int:
    """AVTD and each of its regularisers alone."""
    from launch.experiments import avtd as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def growth(options: ExperimentOptions) -> int:
    """SAC with the whole action range and with parts of it."""
    from launch.experiments import growth as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def intervention(options: ExperimentOptions) -> int:
    """Practice with and without a person who steps in."""
    from launch.experiments import intervention as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def constraint(options: ExperimentOptions) -> int:
    """PID against plain Lagrangian."""
    from launch.experiments import constraint as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def offline(options: ExperimentOptions) -> int:
    """BC, IQL and IDQL on two modes."""
    from launch.experiments import offline as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def reality_gap(options: ExperimentOptions) -> int:
    """What calibration is for."""
    from launch.experiments import reality_gap as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def returns(options: ExperimentReturnsOptions) -> int:
    """SAC and DroQ, ours and others'."""
    from launch.experiments import returns as experiment

    experiment.run(options.csv, options.seeds, print, options.cases, options.environments)
    return 0


def speed(options: ExperimentOptions) -> int:
    """Updates a second, ours and others'."""
    from launch.experiments import speed as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0


def prior(options: ExperimentOptions) -> int:
    """RLPD and what it is without one of its parts."""
    from launch.experiments import prior as experiment

    experiment.run(options.csv, options.seeds, print)
    return 0
