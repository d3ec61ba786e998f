"""What this app tells the apps above it, which it must not know."""

from __future__ import annotations

from django.dispatch import Signal

# Sent inside the transaction and under the dataset's lock with `dataset`. A receiver that still works on
# the dataset raises a RowhouseError, and nothing is deleted.
deleting = Signal()

# Sent in the same way before the definition of a dataset with records changes. A receiver whose work on them
# could not go on afterwards refuses; the change then waits. `column`: the one whose values are written anew, if any.
changing = Signal()

# Sent in the transaction of the change, after it, with `dataset`.
changed = Signal()

# Asks whether somebody here wrote the file with this `sha256`. Who did answers with how it is to be read: a dict of
# what the importer calls choices (encoding, delimiter, …). Whoever did not answers None.
written_here = Signal()
