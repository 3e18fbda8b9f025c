"""What `kdasr train` finds out about the times of encoded frames, for a student that learns from CTC frames."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from kdasr.asr.settings import Distillation
from kdasr.data.made import FILE as FEATURES
from kdasr.files import read_json
from kdasr.models import read_config
from kdasr.targets import frame_times
from kdasr.targets.frame_times import NotKnown


def options(kd: Distillation, targets: str | None, out: Path, student: Namespace) -> list[str]:
    """Options of ESPnet's trainer that say when the teacher's and the student's encoded frames are; prints it.

    Where it is not known, there are none: the student then needs as many frames as its teacher.

    Args:
        kd: the distillation settings.
        targets: targets directory, whose frames are learnt from if no teachers run beside the student.
        out: the student's directory, with features.json where kdasr made the features.
        student: ESPnet's options of the student.

    Raises:
        UserError: the frames cannot be matched.
    """
    if not kd.ctc_word_weight:
        return []
    features = frame_times.of_features(read_json(out / FEATURES) if (out / FEATURES).is_file() else {})
    try:
        own = frame_times.of_model(vars(student), features)
        beside = {directory: read_config(directory) for directory in kd.teachers}
        theirs = frame_times.of_teachers(beside, features) if beside else frame_times.stored(targets or "")
    except NotKnown as error:
        print(f"{out}: {error}: teacher and student need the same number of frames")
        return []
    if theirs is None:
        print(f"{targets}: does not say when the teacher's frames are: the student needs as many")
        return []
    frame_times.check_comparable(theirs, own)
    print(
        f"{out}: teacher's frames {theirs}; student's frames {own}, each of which takes the teacher's nearest in time"
    )
    words = {"teacher_frames": theirs, "student_frames": own}
    return [word for name, times in words.items() for word in ("--kd_conf", f"{name}={list(times)}")]
