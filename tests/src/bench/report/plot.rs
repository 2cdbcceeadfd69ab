//! Plots of figures against the number of flows, both logarithmic: the same ratio is the same distance
//! everywhere.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::bench::figures::{Section, Unit, unit::grouped};

const SIZE: (u32, u32) = (1120, 540);
/// Width of the names of the lines, to the right of them.
const NAMES: u32 = 280;

/// A plot for each unit of a section with figures at several numbers of flows, as SVG.
pub fn all(section: &Section) -> Result<Vec<(Unit, String)>> {
    let mut units: Vec<Unit> = Vec::new();
    for row in &section.rows {
        if !units.contains(&row.unit) {
            units.push(row.unit);
        }
    }
    let mut plots = Vec::new();
    for unit in units {
        let lines = lines(section, unit);
        if !lines.is_empty() {
            let plot = draw(&section.name, unit, &lines)
                .map_err(|error| anyhow!("the plot of {}: {error}", section.name))?;
            plots.push((unit, plot));
        }
    }
    Ok(plots)
}

/// A name and its medians by the number of flows.
type Line<'a> = (&'a str, BTreeMap<u64, f64>);

/// Everything that was measured at more than one number of flows, in the order of the section.
fn lines(section: &Section, unit: Unit) -> Vec<Line<'_>> {
    let mut lines: Vec<Line> = Vec::new();
    for row in section.rows.iter().filter(|row| row.unit == unit) {
        let Some(flows) = row.flows else { continue };
        let at = lines.iter().position(|(name, _)| *name == row.name);
        let at = at.unwrap_or_else(|| {
            lines.push((&row.name, BTreeMap::new()));
            lines.len() - 1
        });
        lines[at].1.insert(flows, row.value.median);
    }
    lines.retain(|(_, points)| points.len() > 1);
    lines
}

type DrawingError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw(name: &str, unit: Unit, lines: &[Line]) -> Result<String, DrawingError<'static>> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = points().map(|(flows, _)| *flows).max().unwrap_or(1) as f64;
    let least = points().map(|(flows, _)| *flows).min().unwrap_or(1) as f64;
    let values = || points().map(|(_, value)| *value);
    let top = values().fold(0.0, f64::max) * 1.2;
    // What is next to nothing may come out as less than that, and has no place on a logarithmic axis.
    let bottom = values().filter(|value| *value > 0.0).fold(top, f64::min) / 1.2;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (plot, beside) = area.split_horizontally(SIZE.0 - NAMES);
        let mut chart = ChartBuilder::on(&plot)
            .caption(name, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d((least..most).log_scale(), (bottom..top).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("flows")
            .x_label_formatter(&|flows| grouped(*flows))
            .y_desc(unit.symbol())
            .y_label_formatter(&|value| unit.number(*value))
            .draw()?;
        for ((at, (name, points)), y) in lines.iter().enumerate().zip((48..).step_by(18)) {
            let color = Palette99::pick(at).stroke_width(2);
            let points = points.iter().filter(|(_, value)| **value > 0.0);
            let points = points.map(|(flows, value)| (*flows as f64, *value));
            chart.draw_series(LineSeries::new(points, color).point_size(3))?;
            beside.draw(&PathElement::new([(0, y), (18, y)], color))?;
            beside.draw(&Text::new(*name, (26, y - 6), ("sans-serif", 12)))?;
        }
        area.present()?;
    }
    Ok(svg)
}
