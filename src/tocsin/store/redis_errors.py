"""What Redis can refuse, as one sentence with what to do about it."""

from redis import exceptions as errors

from tocsin.store.base import StoreFull, StoreUnavailable

#: Code of Redis's error reply -> what to do.
ERROR_HELP = {
    "OOM": "raise maxmemory, or lower retention or cardinality",
    "READONLY": "it is a replica, so point redis.url at the primary",
    "NOAUTH": "set the password in redis.url or TOCSIN_REDIS__PASSWORD",
    "WRONGPASS": "check user and password in redis.url or TOCSIN_REDIS__PASSWORD",
    "NOPERM": "grant its ACL user ~<prefix>:* +@read +@write +@scripting +ping +info +time",
    "LOADING": "it is loading its data, so wait",
    "BUSY": "a script of someone else blocks it, so wait, or run SCRIPT KILL",
    "MASTERDOWN": "its primary is down, so wait for the failover",
    "CLUSTERDOWN": "the cluster misses slots, so see CLUSTER INFO",
    "MISCONF": "it cannot write its snapshot, so free its disk",
}
_UNREACHABLE = (errors.ConnectionError, errors.TimeoutError, errors.ClusterError, OSError)


def explain(error: Exception, where: str) -> Exception:
    """Return what to raise instead of an error of redis-py.

    A condition of the server becomes StoreUnavailable or StoreFull. Anything else (a type
    error in Lua, an unknown command) is a bug or not our server, and stays itself.
    """
    # Redis 6.2 wraps the code of a script's refusal as `... -OOM command ...`.
    words = (getattr(error, "status_code", None), *str(error).replace(" -", " ").split())
    code = next((word for word in words if word in ERROR_HELP), None)
    if code == "OOM":
        return StoreFull(f"Redis at {where} is full: {ERROR_HELP[code]}.")
    if code:
        return StoreUnavailable(f"Redis at {where} refuses ({code}): {ERROR_HELP[code]}.")
    if isinstance(error, _UNREACHABLE):
        return StoreUnavailable(
            f"Redis at {where} does not answer ({type(error).__name__}): "
            "start it, or correct redis.url."
        )
    return error
