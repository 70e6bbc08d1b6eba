"""The digest of a configuration folder."""

from gan_core.config.folder_state import folder_state


def test_it_is_that_of_names_and_contents(folder):
    first = folder_state(folder)
    (folder / "experiments" / ".first.yaml.swp").write_text("x")
    (folder / "experiments" / ".hidden.yaml").write_text("x")
    (folder / "experiments" / "notes.txt").write_text("x")
    assert folder_state(folder) == first
    states = [first]
    (folder / "notifications.yaml").write_text("tell: [run_failed]\n")
    states.append(folder_state(folder))
    (folder / "experiments" / "first.yaml").rename(folder / "experiments" / "moved.yaml")
    states.append(folder_state(folder))
    (folder / "experiments" / "moved.yaml").write_text("")
    states.append(folder_state(folder))
    (folder / "experiments" / "moved.yaml").unlink()
    states.append(folder_state(folder))
    assert len(set(states)) == 5
