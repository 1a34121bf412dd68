"""Where two configurations differ."""


def first_difference(there: dict, here: dict) -> str | None:
    """The first key in which two configurations differ, "train.seed is 0 there and 1 here".

    Keys that only one of them knows are those of another version of this package, and are left out.
    """
    for name in there:
        if name not in here or there[name] == here[name]:
            continue
        if isinstance(there[name], dict) and isinstance(here[name], dict):
            inner = first_difference(there[name], here[name])
            if inner:
                return f"{name}.{inner}"
        else:
            return f"{name} is {there[name]} there and {here[name]} here"
    return None
