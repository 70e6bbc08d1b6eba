"""LSUN (Yu et al. 2015): an LMDB per category and split, in a zip."""

from gan_core.config import Split
from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register


@register(SOURCE_KINDS, "lsun")
class Lsun(SourceKind):
    description = "a category of LSUN, an LMDB per split"
    base_url = "http://dl.yf.io/lsun/scenes"
    example_category = "bedroom"
    may_have_classes = False

    def open_official(self, split: Split):
        from gan_core.data.sources.lsun import (
            DATABASE,
            damaged_copies_deleted,
            extract_database,
            published_name,
        )

        name = published_name(self.dataset.source.category, split)
        database = self.cache / "lmdb" / name / DATABASE
        if not database.exists():
            archive = self.download(f"{name}.zip")
            with damaged_copies_deleted(self.cache, archive):  # it is published without a checksum
                extract_database(archive, database, self.emit)
            archive.unlink(missing_ok=True)  # 43 GB that nobody needs a second time
        return self.open_location(str(database), split, whole=True)

    def open_location(self, location: str, split: Split, *, whole: bool):
        from gan_core.data.sources.lsun import open_lsun

        return open_lsun(location, split, self.cache, self.dataset, whole=whole, emit=self.emit)
