//! Pictures of what was measured.

use std::path::Path;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

/// A picture: lines over one another.
pub(crate) struct Chart<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// What is turned, or grows.
    pub(crate) x: &'a str,
    /// What is measured.
    pub(crate) y: &'a str,
    /// Whether x doubles from one mark to the next.
    pub(crate) doubles: bool,
    /// A name for each line, and its points.
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Colours that people with any sight can tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
];

impl Chart<'_> {
    /// Writes it as SVG into this folder.
    pub(crate) fn draw(&self, folder: &Path, name: &str) {
        let file = folder.join(name);
        let area = SVGBackend::new(&file, (760, 420)).into_drawing_area();
        area.fill(&WHITE).expect("the folder of pictures is writable");
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(1e-9, f64::max);
        let least = points().map(|point| point.0).fold(f64::MAX, f64::min);
        // Above the highest line is room for the names.
        let room = if self.lines.len() > 1 { 1.08 + 0.07 * self.lines.len() as f64 } else { 1.08 };
        let (x_most, y_most) = (most(|point| point.0), most(|point| point.1) * room);
        if self.doubles {
            self.lines_over(&area, (least..x_most).log_scale().base(2.0), y_most);
        } else {
            self.lines_over(&area, 0.0..x_most, y_most);
        }
        println!("{}", file.display());
    }

    fn lines_over<X>(&self, area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, x: X, y_most: f64)
    where
        X: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x, 0.0..y_most)
            .expect("the picture has room");
        let number = |value: &f64| match value {
            value if *value >= 1000.0 && value % 1000.0 == 0.0 => format!("{}k", value / 1000.0),
            value if *value >= 1000.0 => format!("{:.1}k", value / 1000.0),
            value => format!("{value}"),
        };
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .light_line_style(WHITE)
            .label_style(("sans-serif", 13))
            .draw()
            .expect("the picture has room");
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
            chart
                .draw_series(line)
                .expect("the picture has room")
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        if self.lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.8))
                .label_font(("sans-serif", 13))
                .draw()
                .expect("the picture has room");
        }
        area.present().expect("the folder of pictures is writable");
    }
}
