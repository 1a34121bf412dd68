"""Checks the first bytes of an image file inside a TensorFlow graph, before a decoder allocates memory for it.

Training, exports, `verify-data` and `prepare-data` refuse the same files by the codes of `checked`. It checks only what
the decoder reads first: the first frame header of a JPEG, the IHDR of a PNG, and the first frame of a GIF. Only that
frame is passed to the decoder.
"""

import tensorflow as tf

from keras_resnet.data.header import EXIF, MAX_ASPECT, NO_FRAME, SIGNATURES

_HOPS = 1000  # maximum number of markers before a JPEG's frame header; real files have at most a few dozen
_GIF_BLOCKS = 4096  # maximum number of blocks with less than 255 bytes; nearly all have 255
OK, EMPTY, BYTES, FORMAT, HEADER, PIXELS, ASPECT, DECODE = range(8)
JPEG, PNG, GIF, BMP, WEBP = range(len(SIGNATURES))


def reasons(max_bytes: int, max_pixels: int) -> tuple[str, ...]:
    """Returns the messages of the codes of `checked`; the first is "OK"."""
    return (
        "OK",
        "has 0 bytes",
        f"has more than {max_bytes:,} bytes",
        "is no JPEG, PNG, GIF, still WebP, or BMP of 24 or 32 bits a pixel or 256 grays",
        "has a damaged header",
        f"has more than {max_pixels:,} pixels",
        f"is more than {MAX_ASPECT} times as long as it is wide",
        "cannot be decoded: it is damaged, or a PNG of 16 bits that uses the lowest 12 alone",
    )


def checked(content, max_bytes: int, max_pixels: int):
    """content () -> (code (), kind () from JPEG to WEBP, content to decode (), size (2,) int64: height and width)."""
    length = tf.strings.length(content)
    head = bytes_at(content, 0, 34)
    kinds = [starts(head, signature) for signature in SIGNATURES.values()]
    kinds[WEBP] &= starts(head[8:], b"WEBP")
    kind = tf.cast(tf.argmax(tf.cast(tf.stack(kinds), tf.int32)), tf.int32)
    readable = tf.reduce_any(tf.stack(kinds)) & ((kind != BMP) | _bmp_is_plain(content, head))
    readable &= (kind != WEBP) | ~_webp_is_animated(head)
    code = tf.case(
        [
            (length == 0, lambda: EMPTY),
            (length > max_bytes, lambda: BYTES),
            (~readable, lambda: FORMAT),
        ],
        default=lambda: OK,
        exclusive=False,
    )

    def sized():
        sizes = [
            lambda: (*jpeg_header(content)[:2], content),
            lambda: (*_png_size(head), content),
            lambda: _gif_first_frame(content),
            lambda: (*_bmp_size(head), content),
            lambda: (*_webp_size(head), content),
        ]
        height, width, first = tf.switch_case(kind, sizes)
        longer, shorter = tf.maximum(height, width), tf.minimum(height, width)
        # The product of two 32-bit numbers can overflow int64.
        pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)
        too = [(shorter < 1, lambda: HEADER), (pixels > max_pixels, lambda: PIXELS)]
        too.append((longer > MAX_ASPECT * shorter, lambda: ASPECT))
        return tf.case(too, default=lambda: OK, exclusive=False), first, tf.stack([height, width])

    code, content, size = tf.cond(code == OK, sized, lambda: (code, content, tf.zeros((2,), tf.int64)))
    return code, kind, content, size


def bytes_at(content, at, count):
    """Returns `count` bytes from position `at` on, as int64; zeros after the end."""
    part = tf.strings.substr(content, tf.minimum(at, tf.strings.length(content)), count)
    part = tf.io.decode_raw(part + b"\0" * count, tf.uint8)[:count]
    return tf.cast(tf.ensure_shape(part, (count,)), tf.int64)


def starts(head, signature):
    """head (D,) int64 -> whether it begins with these bytes."""
    return tf.reduce_all(head[: len(signature)] == tf.constant(list(signature), tf.int64))


def big_endian(digits):
    """digits (..., D) int64 -> numbers (...)."""
    return tf.reduce_sum(digits * tf.constant([256**i for i in reversed(range(digits.shape[-1]))], tf.int64), -1)


def little_endian(digits):
    """digits (..., D) int64 -> numbers (...)."""
    return tf.reduce_sum(digits * tf.constant([256**i for i in range(digits.shape[-1])], tf.int64), -1)


def _png_size(head):
    """Returns (height, width), 0 if the first chunk is not IHDR (PNG specification, section 11.2.1)."""
    there = tf.reduce_all(head[12:16] == tf.constant(list(b"IHDR"), tf.int64))
    there = tf.cast(there, tf.int64)
    return big_endian(head[20:24]) * there, big_endian(head[16:20]) * there


def _bmp_size(head):
    width, height = (little_endian(head[at : at + 4]) for at in (18, 22))
    height = tf.where(height >= 2**31, 2**32 - height, height)  # negative if the first row is the top row
    return height, tf.where(width >= 2**31, tf.zeros_like(width), width)


def _bmp_is_plain(content, head):
    """Returns whether TensorFlow decodes a BMP correctly: uncompressed, 24 or 32 bits per pixel, or 8 bits of gray.

    The decoder reads palette indices as gray levels, which is correct only if the palette has gray i at index i.
    """
    bits, compression = little_endian(head[28:30]), little_endian(head[30:34])
    palette_at = tf.cast(14 + tf.minimum(little_endian(head[14:18]), 1000), tf.int32)
    grays = tf.range(256, dtype=tf.int64)[:, None]
    gray = (bits == 8) & (compression == 0)
    gray = gray & tf.cond(
        gray,
        lambda: tf.reduce_all(tf.reshape(bytes_at(content, palette_at, 1024), (256, 4))[:, :3] == grays),
        lambda: False,
    )
    plain = ((bits == 24) & (compression == 0)) | ((bits == 32) & ((compression == 0) | (compression == 3)))
    return (plain | gray) & (little_endian(head[14:18]) >= 40)


def _webp_size(head):
    """Returns (height, width), 0 if the first chunk is not one of WebP's three first chunks (RFC 9649, section 2)."""
    lossy, lossless, extended = (starts(head[12:], name) for name in (b"VP8 ", b"VP8L", b"VP8X"))
    bits = little_endian(head[21:25])
    sizes = [
        (lossy, (little_endian(head[28:30]) % 2**14, little_endian(head[26:28]) % 2**14)),
        (lossless, (1 + bits // 2**14 % 2**14, 1 + bits % 2**14)),
        (extended, (1 + little_endian(head[27:30]), 1 + little_endian(head[24:27]))),
    ]
    height, width = (sum(tf.cast(found, tf.int64) * size[i] for found, size in sizes) for i in (0, 1))
    return height, width


def _webp_is_animated(head):
    """Returns whether a WebP is animated: TensorFlow 2.20 cannot decode a single frame and may end the process."""
    return starts(head[12:], b"VP8X") & (head[20] // 2 % 2 == 1)


def jpeg_header(content):
    """Searches the first frame header as libjpeg does (ITU T.81, annex B).

    Returns:
        Height and width () int64, 0 if there is no frame header, and the position () int32 of the first EXIF segment
        before it, 0 if there is none.
    """

    def hop(at, height, width, exif, searching):
        part = bytes_at(content, at, 4 + len(EXIF))
        marker = part[1]
        frame = (marker >= 0xC0) & (marker <= 0xCF)
        for other in NO_FRAME:
            frame &= marker != other
        frame &= part[0] == 0xFF
        alone = (marker == 0x01) | (marker == 0x00) | ((marker >= 0xD0) & (marker <= 0xD7))
        step = tf.where(alone, tf.constant(2, tf.int64), 2 + big_endian(part[2:4]))
        step = tf.where((part[0] != 0xFF) | (marker == 0xFF), tf.constant(1, tf.int64), step)
        height = tf.where(frame, big_endian(part[5:7]), height)
        width = tf.where(frame, big_endian(part[7:9]), width)
        is_exif = (exif == 0) & starts(part, b"\xff\xe1") & starts(part[4:], EXIF)
        exif = tf.where(is_exif, at, exif)
        over = frame | ((part[0] == 0xFF) & ((marker == 0xDA) | (marker == 0xD9))) | (at >= length)
        return tf.minimum(at + tf.cast(step, tf.int32), length), height, width, exif, ~over

    length, none = tf.strings.length(content), tf.constant(0, tf.int64)
    state = (tf.constant(2), none, none, tf.constant(0), tf.constant(True))
    _, height, width, exif, searching = tf.while_loop(lambda *state: state[-1], hop, state, maximum_iterations=_HOPS)
    found = tf.cast(~searching, tf.int64)
    return height * found, width * found, exif


def _gif_first_frame(content):
    """Returns (height, width, the file up to the end of its first frame); 0 if there is none (GIF89a, section 20).

    For the whole file, the decoder would unpack every frame to return the first.
    """
    raw = tf.io.decode_raw(content, tf.uint8)
    length = tf.size(raw)

    def at(place):
        return tf.cast(raw[tf.minimum(place, length - 1)], tf.int32)

    def table(flags):
        return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)

    def block(place, blocks):
        """Skips a run of full blocks and the next one; returns the position, the count, and whether more follow."""
        full = raw[place : place + 1024 * 256 : 256]
        run = tf.cast(tf.argmax(tf.cast(tf.concat([full, [0]], 0) != 255, tf.int32)), tf.int32)
        place += 256 * run
        size = at(place)
        return place + 1 + size, blocks + 1, (run == 1024) | (size > 0)

    def skip_blocks(place, blocks):
        def body(place, blocks, more):
            return block(place, blocks)

        going = (place, blocks, tf.constant(True))
        return tf.while_loop(lambda place, blocks, more: more & (place < length) & (blocks < _GIF_BLOCKS), body, going)

    def extension(place, blocks, ended):
        place, blocks, more = skip_blocks(place + 2, blocks)
        return place, blocks, more

    start = 13 + table(at(10))
    place, blocks, broken = tf.while_loop(
        lambda place, blocks, broken: (place < length) & (at(place) == 0x21) & ~broken,
        extension,
        (start, tf.constant(0), tf.constant(False)),
    )
    descriptor = bytes_at(content, place, 10)
    screen = bytes_at(content, 6, 4)
    end, blocks, more = skip_blocks(place + 11 + table(tf.cast(descriptor[9], tf.int32)), blocks)
    whole = tf.cast((descriptor[0] == 0x2C) & ~broken & ~more, tf.int64)
    width, height = (
        tf.maximum(little_endian(descriptor[i : i + 2]), little_endian(screen[i - 5 : i - 3])) for i in (5, 7)
    )
    return height * whole, width * whole, tf.strings.substr(content, 0, end) + b";"
