# Functions beyond 60 lines, files beyond 400 and lines beyond 200 characters; fails if there is one. Reads what rustfmt wrote: a
# function ends with the first brace that stands as far in as its beginning.
FNR == 1 { inside = 0 }
length($0) > 200 { tell("a line of " length($0) " characters") }
FNR == 401 { tell("a file of more than 400 lines") }
!inside && /^ *(pub(\([a-z]+\))? )?(const |async |unsafe |extern "C" )*fn / {
    match($0, /^ */); margin = RLENGTH; start = FNR; inside = !/[;}]$/; next
}
inside && /^ *}/ {
    match($0, /^ */)
    if (RLENGTH == margin) { inside = 0; if (FNR - start >= 60) tell("a function of " FNR - start + 1 " lines") }
}
function tell(what) { print FILENAME ":" FNR ": " what; wrong = 1 }
END { exit wrong }
