"""The form of a workload."""

from dataclasses import dataclass, field


@dataclass
class Workload:
    """One thing to measure.

    Attributes
    ----------
    name, title : str
    runs : dict
        For each contestant a callable that prepares and returns the callable to time
        (for kind "import": the module's name). For kind "command" the contestants are `base` and `tito`.
    gate, aim : float or None
        TinyTorch's largest ratio to NumPy (megabytes for kind "memory") that is accepted, and hoped for.
    kind : "time", "memory", "import" or "command"
    allowance : float
        Seconds that a command may take beyond `gate` times what the base takes.
    peer_gates : dict
        For other contestants TinyTorch's largest ratio to them that is accepted, where they are installed.
    """

    name: str
    title: str
    runs: dict
    gate: float | None = None
    aim: float | None = None
    kind: str = "time"
    allowance: float = 0.0
    peer_gates: dict[str, float] = field(default_factory=dict)
