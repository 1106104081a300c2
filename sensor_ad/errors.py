"""The faults that are the user's to mend: one small family of exceptions, each with its exit code.

A message has three parts: what was found (file, line, column, value), what was expected, what to
do. Anything that is not one of these is a defect of ours and ends in a traceback.
"""


class SensorAdError(Exception):
    """A fault that the user can mend; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(SensorAdError):
    """An option, a config key or an argument is wrong."""

    exit_code = 2


class DataError(SensorAdError):
    """An export cannot be read, or cannot be used for what was asked."""

    exit_code = 3


class LockedError(SensorAdError):
    """Another command works on the same workspace."""

    exit_code = 5


class ModelError(SensorAdError):
    """A model is damaged, was made for other data, or could not be trained."""

    exit_code = 6


class ResourceError(SensorAdError):
    """Not enough memory, disk or device; or a folder that cannot be written."""

    exit_code = 7


def lack_of_memory(error: BaseException) -> ResourceError | None:
    """Return what to tell the user when an error means that memory ran out, else None.

    torch's own class for a full GPU and its words for a full host are known by name, so that it
    need not be loaded for them.
    """
    words = str(error).splitlines()[0] if str(error) else ""
    on_gpu = type(error).__name__ == "OutOfMemoryError"
    if not (on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in words):
        return None
    where, remedy = ("memory", "close other programs")
    if on_gpu:
        where, remedy = ("memory of the GPU", 'set device = "cpu", or free the GPU')
    return ResourceError(
        f"the {where} ran out ({words or 'no details given'}); {remedy}, or choose a smaller "
        "training.batch or fewer tags. Nothing that was saved is lost."
    )


PARTLY_DONE = 4
"""Exit code of a command that did its work, but not on all of its input."""
