"""The times of frames in AVI files, which only number their packets."""

from collections import deque
from typing import Any

_B = 3  # the type of a frame that is stored after a later one


class AviOrder:
    """Finds the time of each frame of an AVI file, in the order in which frames are shown.

    A frame without others that are shown earlier than they are stored has the time of its packet.
    Among the others, the frames have the times of their packets in ascending order. Packets that
    gave no frame, because they are damaged or repeat the last frame, keep their times.
    """

    def __init__(self) -> None:
        self._times: deque[int] = deque()  # of packets whose time no frame has yet
        self._packets: set[int] = set()  # the times of those whose frame was not shown yet

    def add(self, time: int | None) -> None:
        """Note the time of the next packet, which its frame has as `opaque`.

        FFmpeg can split what AVI stores as one packet. The parts after the first have no time.
        """
        if time is not None:
            self._times.append(time)
            self._packets.add(time)

    def time_of(self, frame: Any) -> int | None:
        """Return the time of the next frame; None if it has none."""
        self._packets.discard(frame.opaque)
        if frame.opaque is not None and frame.pict_type != _B:
            # All earlier packets are shown before this frame, if they gave one.
            lost = {time for time in self._packets if time < frame.opaque}
            self._packets -= lost
            for _ in range(min(len(lost), len(self._times))):
                self._times.popleft()
        return self._times.popleft() if self._times else frame.opaque
