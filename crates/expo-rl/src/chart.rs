//! Pictures of curves: SVG or PNG, the letters of the latter from a font in the binary.

use std::path::Path;
use std::sync::Once;

use anyhow::{anyhow, bail};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::output;

/// A picture's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// Scalable.
    Svg,
    /// Pixels.
    Png,
}

/// Curves in one coordinate system.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Above the curves; may be empty.
    pub title: String,
    /// Below the axis.
    pub x_label: String,
    /// Beside the axis; may be empty.
    pub y_label: String,
    /// At least one.
    pub lines: Vec<Line>,
}

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// Number of its colour.
    pub colour: usize,
    /// Number of its dash pattern; 0 is a whole line.
    pub dash: usize,
    /// Place, value, and how far it deviates to both sides, by ascending place; at least one.
    pub points: Vec<(f64, f64, Option<f64>)>,
}

/// The colours of the report's light page.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x3a, 0x6f, 0xb0),
    RGBColor(0xd9, 0x73, 0x1a),
    RGBColor(0x3c, 0x8f, 0x3c),
    RGBColor(0xc2, 0x3b, 0x3f),
    RGBColor(0x84, 0x60, 0xb0),
    RGBColor(0x87, 0x57, 0x4a),
    RGBColor(0xc7, 0x63, 0xa6),
    RGBColor(0x6d, 0x76, 0x80),
    RGBColor(0x9a, 0x95, 0x1c),
    RGBColor(0x1a, 0x97, 0xa6),
];
/// Dash patterns: length and gap in pixels; a gap of 0 is a whole line.
const DASHES: [(i32, i32); 4] = [(1, 0), (9, 5), (3, 4), (15, 4)];
const FONT: &str = "sans-serif";
const FONT_BYTES: &[u8] = include_bytes!("../assets/fonts/DejaVuSans-subset.ttf");
/// Even numbers: plotters rounds half of it towards 0, above and below the line alike.
const SMALL: i32 = 16;
const LARGE: i32 = 20;
/// Of the legend: height of a row, length of a line's sample, gap between entries.
const ROW: i32 = 22;
const SAMPLE: i32 = 28;
const GAP: i32 = 22;

/// A line's place in the legend: row, and where in it.
type Entry<'a> = (&'a Line, i32, i32);

impl Picture {
    /// The format that a file's ending names.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => bail!("{}: unknown kind of picture; end the name in .svg or .png", path.display()),
        }
    }

    /// Draws `chart` into the file `path`, `size` pixels wide and high.
    pub fn write(self, chart: &Chart, path: &Path, size: (u32, u32)) -> anyhow::Result<()> {
        static FONT_IS_THERE: Once = Once::new();
        // It is in the binary: it can be read.
        FONT_IS_THERE.call_once(|| drop(register_font(FONT, FontStyle::Normal, FONT_BYTES)));
        match self {
            Self::Svg => {
                let mut text = String::new();
                chart
                    .draw(&SVGBackend::with_string(&mut text, size).into_drawing_area())
                    .map_err(|e| anyhow!("{}: {e}", path.display()))?;
                output::write_atomically(path, |writer| Ok(writer.write_all(text.as_bytes())?))
            }
            Self::Png => {
                let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
                chart
                    .draw(&BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area())
                    .map_err(|e| anyhow!("{}: {e}", path.display()))?;
                output::write_atomically(path, |writer| {
                    let mut encoder = png::Encoder::new(writer, size.0, size.1);
                    encoder.set_color(png::ColorType::Rgb);
                    let mut image = encoder.write_header()?;
                    image.write_image_data(&pixels)?;
                    Ok(image.finish()?)
                })
            }
        }
    }
}

/// A range that is not empty, with room around the values.
fn range(values: impl Iterator<Item = f64>, room: f64) -> std::ops::Range<f64> {
    let (low, high) = values.filter(|v| v.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let room = if high > low { room * (high - low) } else { (0.1 * low.abs()).max(0.5) };
    if low.is_finite() { low - room..high + room } else { 0.0..1.0 }
}

/// A number on an axis: as short as it can be.
fn tick(value: &f64) -> String {
    // Of 0.30000000000000004 and -0.
    let rounded = (value * 1e9).round() / 1e9 + 0.0;
    if rounded.abs() >= 1e6 || (rounded == 0.0 && value.abs() > 1e-12) { format!("{value:e}") } else { rounded.to_string() }
}

impl Line {
    fn style(&self) -> ShapeStyle {
        COLOURS[self.colour % COLOURS.len()].stroke_width(2)
    }

    fn dash(&self) -> (i32, i32) {
        DASHES[self.dash % DASHES.len()]
    }
}

impl Chart {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, plotters::coord::Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        self.try_draw(area).map_err(|e| e.to_string())
    }

    fn try_draw<B: DrawingBackend>(&self, area: &DrawingArea<B, plotters::coord::Shift>) -> Result<(), DrawingAreaErrorKind<B::ErrorType>>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE)?;
        let (width, height) = area.dim_in_pixel();
        let entries = self.legend(area, width as i32)?;
        let rows = entries.last().map_or(0, |entry| entry.1 + 1);
        let (plot, legend) = area.split_vertically(height as i32 - ROW * rows - 10);
        let mut builder = ChartBuilder::on(&plot);
        builder.margin(12).x_label_area_size(44).y_label_area_size(if self.y_label.is_empty() { 52 } else { 72 });
        if !self.title.is_empty() {
            builder.caption(&self.title, (FONT, LARGE));
        }
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = range(points().map(|(x, ..)| *x), 0.0);
        let y = range(points().flat_map(|(_, y, deviation)| [y - deviation.unwrap_or(0.0), y + deviation.unwrap_or(0.0)]), 0.05);
        let mut chart = builder.build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .label_style((FONT, SMALL))
            .axis_desc_style((FONT, SMALL))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .axis_style(BLACK.mix(0.4))
            .x_label_formatter(&tick)
            .y_label_formatter(&tick)
            .draw()?;
        for line in &self.lines {
            let edge = |sign: f64| line.points.iter().filter_map(move |(x, y, deviation)| Some((*x, y + sign * (*deviation)?)));
            let mut band: Vec<(f64, f64)> = edge(-1.0).collect();
            band.reverse();
            band.extend(edge(1.0));
            if band.len() > 2 {
                chart.draw_series(std::iter::once(Polygon::new(band, COLOURS[line.colour % COLOURS.len()].mix(0.18))))?;
            }
        }
        for line in &self.lines {
            let points = line.points.iter().map(|(x, y, _)| (*x, *y));
            match (line.dash(), &line.points[..]) {
                (_, [(x, y, _)]) => chart.draw_series(std::iter::once(Circle::new((*x, *y), 4, line.style().filled()))).map(drop)?,
                ((_, 0), _) => chart.draw_series(LineSeries::new(points, line.style())).map(drop)?,
                ((length, gap), _) => chart.draw_series(DashedLineSeries::new(points, length, gap, line.style())).map(drop)?,
            }
        }
        for (line, row, x) in entries {
            let y = row * ROW + ROW / 2;
            let ends = vec![(x, y), (x + SAMPLE, y)];
            match line.dash() {
                (_, 0) => legend.draw(&PathElement::new(ends, line.style()))?,
                (length, gap) => legend.draw(&DashedPathElement::new(ends, length, gap, line.style()))?,
            }
            legend.draw(&Text::new(line.label.as_str(), (x + SAMPLE + 6, y - SMALL / 2), (FONT, SMALL).into_font()))?;
        }
        area.present()
    }

    /// Where each line stands in the legend.
    fn legend<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, plotters::coord::Shift>,
        width: i32,
    ) -> Result<Vec<Entry<'_>>, DrawingAreaErrorKind<B::ErrorType>> {
        let style = TextStyle::from((FONT, SMALL).into_font());
        let (mut entries, mut row, mut x) = (Vec::new(), 0, GAP);
        for line in &self.lines {
            let (text, _) = area.estimate_text_size(&line.label, &style)?;
            let needed = SAMPLE + 6 + text as i32 + GAP;
            if x > GAP && x + needed > width {
                (row, x) = (row + 1, GAP);
            }
            entries.push((line, row, x));
            x += needed;
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let line = |label: &str, dash, points: &[(f64, f64, Option<f64>)]| Line {
            label: label.into(),
            colour: dash,
            dash,
            points: points.to_vec(),
        };
        Chart {
            title: "Reward & <loss>".into(),
            x_label: "step".into(),
            y_label: "reward/mean".into(),
            lines: vec![
                line("grpo", 0, &[(1.0, 0.1, Some(0.05)), (2.0, 0.3, Some(0.1)), (3.0, 0.2, None)]),
                line("exp-grpo, exp.beta=0.04", 1, &[(1.0, 0.2, None), (3.0, 0.9, None)]),
                line("one point", 2, &[(2.0, 0.5, None)]),
            ],
        }
    }

    #[test]
    fn both_formats_hold_the_picture() {
        let folder = tempfile::tempdir().unwrap();
        let [svg, png] = ["c.svg", "c.png"].map(|name| folder.path().join(name));
        Picture::of(&svg).unwrap().write(&chart(), &svg, (640, 400)).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        for part in ["<svg", "Reward &amp; &lt;loss&gt;", "reward/mean", "exp-grpo, exp.beta=0.04", "#3A6FB0", "</svg>"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        Picture::of(&png).unwrap().write(&chart(), &png, (640, 400)).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&png).unwrap())).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (640, 400));
        let of_colour = |RGBColor(r, g, b)| pixels.chunks(3).filter(|pixel| **pixel == [r, g, b]).count();
        assert!(of_colour(COLOURS[0]) > 100 && of_colour(COLOURS[1]) > 100 && of_colour(COLOURS[2]) > 10, "the lines are drawn");
        assert!(pixels.chunks(3).take(640 * 40).filter(|pixel| pixel[0] < 128).count() > 50, "and so is the title");
        assert!(Picture::of(Path::new("c.jpg")).unwrap_err().to_string().contains(".svg or .png"));
    }

    #[test]
    fn ranges_and_ticks() {
        assert_eq!((range([1.0, 3.0].into_iter(), 0.5), range([2.0].into_iter(), 0.5)), (0.0..4.0, 1.5..2.5));
        assert_eq!(range([f64::NAN].into_iter(), 0.5), 0.0..1.0);
        assert_eq!([0.1 + 0.2, -0.0, 25.0, 0.0005, 2e7].map(|v| tick(&v)), ["0.3", "0", "25", "0.0005", "2e7"]);
    }
}
