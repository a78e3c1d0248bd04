# Stops one server when the process that started it is gone.
# Arguments: the server's process id, the signal that asks it to stop, tenths of a second until it is killed,
# and a folder to remove afterwards (or nothing). Standard input is a pipe that nobody but that process holds:
# a line on it means "the server is stopped, go away"; its end means that the process has died.
trap '' HUP INT QUIT TERM
if read -r released; then
    exit 0
fi
# Ended, but not yet reaped by whoever adopted it, counts as gone. Servers have no blanks in their names.
runs() {
    kill -s 0 "$1" 2>/dev/null || return 1
    [ -r "/proc/$1/stat" ] || return 0
    read -r number name state others <"/proc/$1/stat"
    [ "$state" != Z ]
}
kill -s "$2" "$1" 2>/dev/null
# A paused server does not see its signals before it is woken.
kill -s CONT "$1" 2>/dev/null
waited=0
while runs "$1" && [ "$waited" -lt "$3" ]; do
    sleep 0.1
    waited=$((waited + 1))
done
runs "$1" && kill -s KILL "$1" 2>/dev/null
if [ -n "$4" ]; then
    # A server that has just been killed may still write: once more after a moment.
    rm -rf -- "$4" 2>/dev/null || { sleep 1; rm -rf -- "$4"; }
fi
