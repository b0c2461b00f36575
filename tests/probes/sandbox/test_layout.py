"""Decisions over mount tables of machines that are not at hand."""

from gputune.probes.sandbox.layout import MAX_SPLIT, Mount, World, arrange, parse_mounts, unprotected, within

TREE = {
    "/": ["/boot", "/data", "/dev", "/etc", "/home", "/proc", "/run", "/sys", "/tmp", "/usr", "/var"],
    "/home": ["/home/ann", "/home/bob"],
    "/data": ["/data/nfs", "/data/other"],
    "/var": [f"/var/{number}" for number in range(MAX_SPLIT + 1)],
}


def arranged(*points, project=("/home/ann/p",), kept=(), locked=False):
    mounts = {"/": Mount("/", "ext4", ("rw",))}
    for point in points:
        path, kind, options = (*point.split(), "rw")[:3]
        mounts[path] = Mount(path, kind, tuple(options.split(",")))
    world = World(mounts, project, kept, locked, lambda path: TREE.get(path, []))
    return {place.path: place.treatment for place in arrange(world)}


def test_every_top_directory_but_the_shared_ones_gets_an_overlay():
    places = arranged("/proc proc", "/dev devtmpfs", "/dev/shm tmpfs", "/run tmpfs")

    assert {path for path, treatment in places.items() if treatment == "overlay"} == {
        "/data", "/etc", "/home", "/usr", "/var",
    }  # fmt: skip
    assert places["/tmp"] == "kept"
    assert "/dev/shm" not in places  # a mount of its own in a directory nobody covers: left as it is


def test_parents_are_mounted_before_what_lies_in_them():
    paths = list(arranged("/home/ann ext4", "/home/ann/p/data nfs", kept=("/home/ann/.cache",)))

    assert paths.index("/home") < paths.index("/home/ann") < paths.index("/home/ann/p/data")
    assert paths.index("/home/ann") < paths.index("/home/ann/.cache")


def test_a_read_only_mount_is_shown_as_it_is():
    assert arranged("/data/nfs nfs4 ro,relatime")["/data/nfs"] == "kept"


def test_a_disk_under_run_is_protected_and_a_runtime_directory_is_not():
    places = arranged("/run tmpfs", "/run/user/1000 tmpfs", "/run/media/ann/usb ext4")

    assert places["/run/media/ann/usb"] == "overlay"
    assert "/run/user/1000" not in places


def test_a_working_directory_of_root_does_not_drag_shared_memory_into_the_sandbox():
    places = arranged("/dev devtmpfs", "/dev/shm tmpfs", "/dev/pts devpts", "/run tmpfs", project=("/",))

    assert not any(path.startswith("/dev/") for path in places)


def test_locked_mounts_make_the_directory_around_them_read_only_and_its_children_overlays():
    places = arranged("/data/nfs nfs4", locked=True)

    assert (places["/data"], places["/data/nfs"], places["/data/other"]) == ("frozen", "overlay", "overlay")
    assert places["/home"] == "overlay"


def test_a_system_directory_with_locked_mounts_is_not_split_into_a_hundred_overlays():
    places = arranged("/var/3/x overlay", locked=True)

    assert places["/var"] == "frozen"
    assert places["/var/3"] == "frozen"
    assert "/var/4" not in places


def test_in_a_user_namespace_the_project_has_an_overlay_of_its_own():
    assert arranged(locked=True)["/home/ann/p"] == "overlay"


def test_a_cache_that_holds_the_project_does_not_unprotect_it():
    places = arranged(project=("/home/ann/p",), kept=("/home/ann", "/"))

    assert places["/home/ann/p"] == "overlay"
    assert "/" not in places


def test_a_project_in_the_shared_temporary_directory_itself_is_named_as_unprotected():
    world = World({}, ("/tmp", "/home/ann"), (), False, lambda path: [])

    assert unprotected(world) == ["/tmp"]


def test_mount_points_with_spaces_and_letters_beyond_ascii_are_read():
    text = "36 35 98:0 / /mnt/my\\040d\u00efsk rw,noatime shared:1 - ext4 /dev/a rw\n"
    text += "37 35 0:1 / /x ro - nfs4 h:/ rw\n"

    assert parse_mounts(text) == {
        "/mnt/my d\u00efsk": Mount("/mnt/my d\u00efsk", "ext4", ("rw", "noatime")),
        "/x": Mount("/x", "nfs4", ("ro",)),
    }


def test_a_neighbour_with_the_same_beginning_is_not_inside():
    assert within("/home/ann", ["/home/ann"])
    assert within("/home/ann/p", ["/home/ann/"])
    assert not within("/home/anna", ["/home/ann"])
