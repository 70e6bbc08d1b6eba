"""Any folder or archive of images: nothing is published, a location says where they are."""

from gan_core.data.sources.kinds import SOURCE_KINDS, SourceKind, register


@register(SOURCE_KINDS, "images")
class Images(SourceKind):
    description = "any folder or archive of images"
