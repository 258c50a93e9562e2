"""What the manual pages say of the commands' JSON. Used by count.py and residence.py."""
import re


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def missing_keys(path, value):
    """Keys that do not stand in the page's section that says so, nor behind it."""
    with open(path) as file:
        page = re.sub(r"\\f.|\\", "", file.read())
    words = set(re.findall("[a-z0-9_]+", page[re.search(".SH (FIGURES|PARTS|JSON)", page).start():]))
    return sorted(keys_of(value) - words)
