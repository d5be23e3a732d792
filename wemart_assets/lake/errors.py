"""Errors that a user can act on. Any other exception is a bug and surfaces as one."""


class WemartError(Exception):
    """Base class of errors that say what is wrong, where, and what to do next."""


class DeclarationError(WemartError):
    """The declaration of a table, an input or a check cannot work."""


class MissingPartition(WemartError):
    """A partition that a run reads has not been published yet."""


class PublishConflict(WemartError):
    """Another run published one of this run's partitions while this run was computing them."""


class AuditFailed(WemartError):
    """Staged rows break a check of severity ERROR; nothing was published."""


class UnreadableTable(WemartError):
    """A Delta table cannot be read, or cannot be read safely."""


class LandingError(WemartError):
    """A landing file or its mapping does not match the source contract."""


class UnreadableFile(LandingError):
    """An engine cannot read a landing file."""


class MachineFault(WemartError):
    """The machine is out of disk space or memory, or refuses access; the tables are unchanged."""


class StoreUnavailable(MachineFault):
    """An object store refuses access or does not answer, so nothing else there can be read or written either."""


class UnknownOutcome(StoreUnavailable):
    """The object store stopped answering during a commit: it was published or not, and running again is safe."""
