"""Errors that a person can act on. Anything else that is raised is a bug and is left to be seen as one."""


class WemartError(Exception):
    """Base of all errors that say what is wrong, where, and what to do next."""


class DeclarationError(WemartError):
    """A table, input or rule is declared in a way that cannot work."""


class MissingPartition(WemartError):
    """A partition that a run reads has not been published yet."""


class PublishConflict(WemartError):
    """Another run published one of this run's partitions while this run was computing them."""


class AuditFailed(WemartError):
    """A rule of severity ERROR is broken by staged rows; nothing was published."""


class UnreadableTable(WemartError):
    """A Delta table cannot be read, or not safely."""


class LandingError(WemartError):
    """A landing file, or the mapping of it, does not fit its contract."""


class UnreadableFile(LandingError):
    """An engine's reader cannot read a landing file."""


class MachineFault(WemartError):
    """The machine has no room or no memory left, or does not let this user write; the tables are as they were."""
