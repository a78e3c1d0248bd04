//! A file of somebody else's making becomes a picture of ours: square, small, upright, with nothing but pixels in it.

use std::io::Cursor;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::StatusCode;
use image::codecs::webp::WebPEncoder;
use image::imageops::FilterType;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
};
use thiserror::Error;

use service_kit::Problem;

use super::Picture;

/// Every stored picture is as wide and as high as this.
pub(crate) const SIDE_PIXELS: u32 = 400;
/// What every stored picture is: WebP without loss.
pub(crate) const MEDIA_TYPE: &str = "image/webp";
/// The longest side that is read.
const SOURCE_SIDE_PIXELS_MAX: u32 = 8_000;
/// The memory that reading one picture may take.
const SOURCE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a file does not become a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum RedrawError {
    /// Its first bytes are of no format that is taken.
    #[error("the file is not a picture in PNG, JPEG or WebP, whatever its name says")]
    OtherFormat,
    /// It is of such a format and broken.
    #[error("the picture cannot be read: it is damaged or not complete")]
    Unreadable,
    /// It has more pixels than are read.
    #[error(
        "the picture is too large: at most {SOURCE_SIDE_PIXELS_MAX} pixels a side, and {} MiB when unpacked",
        SOURCE_BYTES_MAX / 1024 / 1024
    )]
    TooLarge,
}

impl From<RedrawError> for Problem {
    fn from(error: RedrawError) -> Self {
        let detail = error.to_string();
        match error {
            RedrawError::OtherFormat => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "picture_type_unsupported",
            )
            .detail(detail),
            RedrawError::Unreadable => Self::unprocessable("picture_unreadable", detail),
            RedrawError::TooLarge => Self::unprocessable("picture_too_large", detail),
        }
    }
}

impl From<ImageError> for RedrawError {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Limits(_) => Self::TooLarge,
            _ => Self::Unreadable,
        }
    }
}

/// Reads, turns upright, fills a square from the middle, and draws it anew. The same file always leads to the same
/// bytes.
pub(super) fn redraw(file: &[u8]) -> Result<Picture, RedrawError> {
    let square = read(file)?
        .resize_to_fill(SIDE_PIXELS, SIDE_PIXELS, FilterType::Triangle)
        .to_rgba8();
    let mut bytes = Vec::new();
    WebPEncoder::new_lossless(&mut bytes).encode(
        &square,
        SIDE_PIXELS,
        SIDE_PIXELS,
        ExtendedColorType::Rgba8,
    )?;
    Ok(Picture {
        digest: hex::encode(digest(&SHA256, &bytes)),
        bytes: Bytes::from(bytes),
    })
}

fn read(file: &[u8]) -> Result<DynamicImage, RedrawError> {
    let format = image::guess_format(file).map_err(|_| RedrawError::OtherFormat)?;
    if !matches!(
        format,
        ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP
    ) {
        return Err(RedrawError::OtherFormat);
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SOURCE_SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SOURCE_SIDE_PIXELS_MAX);
    limits.max_alloc = Some(SOURCE_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    // What the header claims, before a byte is set aside for it.
    if decoder.total_bytes() > SOURCE_BYTES_MAX {
        return Err(RedrawError::TooLarge);
    }
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(RedrawError::Unreadable);
    }
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    const RED: Rgba<u8> = Rgba([200, 0, 0, 255]);
    const BLUE: Rgba<u8> = Rgba([0, 0, 200, 255]);

    /// Red on the left, blue on the right.
    fn two_colours(width: u32, height: u32) -> DynamicImage {
        RgbaImage::from_fn(width, height, |x, _| if x < width / 2 { RED } else { BLUE }).into()
    }

    fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = match format {
            ImageFormat::Jpeg => &DynamicImage::from(picture.to_rgb8()),
            _ => picture,
        };
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A JPEG with an EXIF block put in behind its first marker.
    fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let mut tiff = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        tiff.push(orientation);
        tiff.extend(b"\0\0\0\0\0\0");
        tiff.extend(b"Taken at Marker Street 17");
        let length = u16::try_from(tiff.len() + 2).unwrap().to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, &tiff, &jpeg[2..]].concat()
    }

    fn near(pixel: &Rgba<u8>, colour: Rgba<u8>) -> bool {
        let far = |i: usize| pixel.0[i].abs_diff(colour.0[i]) > 60;
        !(far(0) || far(1) || far(2))
    }

    fn drawn(file: &[u8]) -> RgbaImage {
        let picture = redraw(file).unwrap();
        assert_eq!(
            image::guess_format(&picture.bytes).unwrap(),
            ImageFormat::WebP
        );
        let image = image::load_from_memory(&picture.bytes).unwrap().to_rgba8();
        assert_eq!(image.dimensions(), (SIDE_PIXELS, SIDE_PIXELS));
        image
    }

    #[test]
    fn each_format_becomes_a_square_that_is_filled_from_the_middle() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let image = drawn(&written(&two_colours(900, 300), format));
            assert!(near(image.get_pixel(20, 200), RED), "{format:?}");
            assert!(near(image.get_pixel(380, 200), BLUE), "{format:?}");
        }
    }

    #[test]
    fn a_picture_taken_with_the_camera_on_its_side_stands_upright_and_says_nothing_of_where() {
        let jpeg = written(&two_colours(64, 64), ImageFormat::Jpeg);
        let turned = with_exif(&jpeg, 6);
        let image = drawn(&turned);
        // Turned right by a quarter: what was on the left is on top.
        assert!(near(image.get_pixel(200, 20), RED) && near(image.get_pixel(20, 20), RED));
        assert!(near(image.get_pixel(200, 380), BLUE));
        let kept = redraw(&turned).unwrap().bytes;
        assert!(turned.windows(6).any(|w| w == b"Marker"));
        assert!(!kept.windows(6).any(|w| w == b"Marker" || w == b"Exif\0\0"));
    }

    #[test]
    fn the_same_file_always_leads_to_the_same_picture_and_another_to_another() {
        let one = written(&two_colours(50, 50), ImageFormat::Png);
        let first = redraw(&one).unwrap();
        assert_eq!(first, redraw(&one).unwrap());
        assert_eq!(first.digest.len(), 64);
        let other = written(&DynamicImage::new_rgba8(50, 50), ImageFormat::Png);
        assert_ne!(first.digest, redraw(&other).unwrap().digest);
    }

    #[test]
    fn what_is_not_a_picture_is_refused_whatever_it_claims_to_be() {
        for file in [
            b"".as_slice(),
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"GIF89a\x01\0\x01\0\0\0\0",
            b"BM\0\0\0\0",
            b"%PDF-1.7",
        ] {
            assert_eq!(redraw(file), Err(RedrawError::OtherFormat));
        }
    }

    #[test]
    fn damaged_files_are_refused_and_never_more_than_that() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let whole = written(&two_colours(40, 40), format);
            for length in 0..whole.len().min(120) {
                // Some decoders make do with what they have; none may fall over.
                let _either: Result<Picture, RedrawError> = redraw(&whole[..length]);
            }
            for at in 0..whole.len().min(200) {
                let mut bent = whole.clone();
                bent[at] ^= 0x55;
                let _either: Result<Picture, RedrawError> = redraw(&bent);
            }
            let half = redraw(&whole[..12]);
            assert!(half.is_err(), "{format:?}");
        }
    }

    #[test]
    fn a_small_file_that_claims_to_be_huge_is_refused_before_it_is_unpacked() {
        // Black compresses to almost nothing.
        let wide = written(&DynamicImage::new_luma8(8_001, 1), ImageFormat::Png);
        assert_eq!(redraw(&wide), Err(RedrawError::TooLarge));
        let heavy = written(&DynamicImage::new_rgba8(4_200, 4_200), ImageFormat::Png);
        assert!(heavy.len() < 500_000);
        assert_eq!(redraw(&heavy), Err(RedrawError::TooLarge));
    }
}
