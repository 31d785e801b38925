"""Why a use of a moved API is reported without a fix: the ids that findings carry, and what they mean."""

from __future__ import annotations

MOVE_REASONS: dict[str, str] = {
    "no-equivalent": "nothing takes the old API's place one to one; the finding says what to do instead",
    "changed-semantics": "a new API exists, but it may compute something else here",
    "unclear-arguments": "the call hides its arguments (`*args`, `**kwargs`) or uses one without equivalent",
    "passed-as-value": "the function is passed on, and its arguments change: nobody sees how it gets called",
    "runtime-type": "a class is used for more than annotations, and the new one has other instances",
    "unclear-place": "a comment stands inside the name, or Python gives no exact place for it",
    "comment-in-the-way": "the new code would stand behind a comment's `#`",
    "comment-lost": "a comment stands inside of what is written anew; `--unsafe-fixes` does it without the comment",
    "name-taken": "the new name can't be written here, because what it starts with means something else",
    "star-import": "the name comes from `import *`, so its meaning is not certain",
    "exported-name": "other files import the old name from this one",
    "target-too-old": "the project's pins admit no release that has the new API",
}
