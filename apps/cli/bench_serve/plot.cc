#include "apps/cli/bench_serve/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

// Okabe and Ito's colours, which the colour-blind can tell apart; the pale yellow is left out.
constexpr std::array<const char*, 7> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#000000"};
constexpr double kWidth = 920, kHeight = 640, kPanelWidth = 370, kPanelHeight = 195;

std::string text_of(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}
std::string px(double value) { return text_of("%.1f", value); }

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string label(double x, double y, const std::string& anchor, const std::string& text, const char* more = "") {
  return "<text x=\"" + px(x) + "\" y=\"" + px(y) + "\" text-anchor=\"" + anchor + "\" " + more + ">" + escaped(text) +
         "</text>\n";
}

struct Value {
  std::string load;
  double y = 0, interval = 0;
};
struct Line {
  size_t colour = 0;
  bool dashed = false;
  std::vector<Value> values;
};

// Round steps of 1, 2 or 5, from zero; or decades with their 2 and 5 between.
class Scale {
 public:
  Scale(double low, double high, bool logarithmic) : log_(logarithmic && low > 0) {
    if (high <= 0) high = 1;
    if (log_) {
      low_ = std::pow(10, std::floor(std::log10(low)));
      high_ = high * 1.15;
      for (double decade = low_; decade <= high_; decade *= 10) {
        for (double m : {1.0, 2.0, 5.0}) add_tick(m * decade);
      }
      while (ticks_.size() > 2 && ticks_[1] <= low) ticks_.erase(ticks_.begin());
      low_ = ticks_.front();
      return;
    }
    high_ = high * 1.1;
    const double rough = high_ / 5, magnitude = std::pow(10, std::floor(std::log10(rough)));
    const double step = magnitude * (rough / magnitude > 5 ? 10 : rough / magnitude > 2 ? 5 : 2);
    for (double tick = 0; tick <= high_; tick += step) add_tick(tick);
  }
  const std::vector<double>& ticks() const { return ticks_; }
  double at(double value) const {  // 0 at the lower end, 1 at the upper
    if (!log_) return value / high_;
    return (std::log10(std::max(value, low_)) - std::log10(low_)) / (std::log10(high_) - std::log10(low_));
  }

 private:
  void add_tick(double tick) {
    if (tick <= high_) ticks_.push_back(tick);
  }
  bool log_;
  double low_ = 0, high_ = 1;
  std::vector<double> ticks_;
};

class Panel {
 public:
  Panel(double x, double y, std::string title, std::vector<std::string> loads, std::vector<Line> lines,
        bool logarithmic)
      : x_(x),
        y_(y),
        title_(std::move(title)),
        loads_(std::move(loads)),
        lines_(std::move(lines)),
        scale_(lowest(), highest(), logarithmic) {}

  std::string draw() const {
    std::string out = label(x_, y_ - 12, "start", title_, "class=\"t\"");
    for (double tick : scale_.ticks()) {
      const double y = y_of(tick);
      out += "<line class=\"g\" x1=\"" + px(x_) + "\" x2=\"" + px(x_ + kPanelWidth) + "\" y1=\"" + px(y) + "\" y2=\"" +
             px(y) + "\"/>\n" + label(x_ - 7, y + 4, "end", text_of("%g", tick));
    }
    for (const std::string& load : loads_) out += label(x_of(load), y_ + kPanelHeight + 18, "middle", load);
    for (const Line& line : lines_) out += draw(line);
    return out;
  }

 private:
  double lowest() const {
    double low = 0;
    for (const Line& line : lines_) {
      for (const Value& v : line.values) low = v.y > 0 && (low == 0 || v.y < low) ? v.y : low;
    }
    return low;
  }
  double highest() const {
    double high = 0;
    for (const Line& line : lines_) {
      for (const Value& v : line.values) high = std::max(high, v.y + v.interval);
    }
    return high;
  }
  double y_of(double value) const { return y_ + kPanelHeight * (1 - scale_.at(value)); }
  double x_of(const std::string& load) const {
    const auto at = static_cast<double>(std::find(loads_.begin(), loads_.end(), load) - loads_.begin());
    return x_ + kPanelWidth * (at + 0.5) / static_cast<double>(loads_.size());
  }

  std::string draw(const Line& line) const {
    const std::string colour = kColours[line.colour % kColours.size()];
    std::string points, marks;
    for (const Value& v : line.values) {
      const double x = x_of(v.load), y = y_of(v.y);
      points += px(x) + "," + px(y) + " ";
      marks += "<circle cx=\"" + px(x) + "\" cy=\"" + px(y) + "\" r=\"3.2\" fill=\"" + colour + "\"/>\n";
      if (v.interval > 0) {
        marks += "<path d=\"M" + px(x) + " " + px(y_of(std::max(0.0, v.y - v.interval))) + "V" +
                 px(y_of(v.y + v.interval)) + "\" stroke=\"" + colour + "\" stroke-width=\"1.4\"/>\n";
      }
    }
    return "<polyline fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"2\"" +
           (line.dashed ? " stroke-dasharray=\"5 4\"" : "") + " points=\"" + points + "\"/>\n" + marks;
  }

  double x_, y_;
  std::string title_;
  std::vector<std::string> loads_;
  std::vector<Line> lines_;
  Scale scale_;
};

using Field = double PlotPoint::*;

std::vector<Line> latency_lines(const std::vector<PlotSeries>& series, Field p50, Field p99) {
  std::vector<Line> lines;
  for (size_t i = 0; i < series.size(); ++i) {
    for (const auto& [field, dashed] : {std::pair{p50, false}, {p99, true}}) {
      Line line{i, dashed, {}};
      for (const PlotPoint& p : series[i].points) line.values.push_back({p.load, 1000 * (p.*field), 0});
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

std::vector<Line> rate_lines(const std::vector<PlotSeries>& series) {
  std::vector<Line> lines;
  for (size_t i = 0; i < series.size(); ++i) {
    Line line{i, false, {}};
    for (const PlotPoint& p : series[i].points) line.values.push_back({p.load, p.rate, p.rate_interval});
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> all_loads(const std::vector<PlotSeries>& series) {
  std::vector<std::string> loads;
  for (const PlotSeries& s : series) {
    for (const PlotPoint& p : s.points) {
      if (std::find(loads.begin(), loads.end(), p.load) == loads.end()) loads.push_back(p.load);
    }
  }
  return loads;
}

double number_at(const nlohmann::ordered_json& level, const char* object, const char* name) {
  return level.at(object).at(name).get<double>();
}

}  // namespace

Result<PlotSeries> plot_series(const nlohmann::ordered_json& document) try {
  PlotSeries series;
  series.name = document.at("label").get<std::string>();
  for (const auto& level : document.at("levels")) {
    PlotPoint p;
    p.load = level.at("load").get<std::string>();
    p.rate = number_at(level, "output_tokens_per_second", "mean");
    p.rate_interval = number_at(level, "output_tokens_per_second", "ci95");
    p.ttft_p50 = number_at(level, "ttft_seconds", "p50");
    p.ttft_p99 = number_at(level, "ttft_seconds", "p99");
    p.itl_p50 = number_at(level, "itl_seconds", "p50");
    p.itl_p99 = number_at(level, "itl_seconds", "p99");
    p.e2e_p50 = number_at(level, "e2e_seconds", "p50");
    p.e2e_p99 = number_at(level, "e2e_seconds", "p99");
    series.points.push_back(std::move(p));
  }
  return series;
} catch (const nlohmann::ordered_json::exception& error) {
  return corrupt(std::string("not a result of ferrum bench-serve --json: ") + error.what());
}

std::string draw_plot(const std::vector<PlotSeries>& series, const std::string& title) {
  const std::vector<std::string> loads = all_loads(series);
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + px(kWidth) + " " + px(kHeight) +
      "\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#333\">\n"
      "<style>.g{stroke:#ddd}.t{font-weight:600;font-size:13px}.h{font-weight:600;font-size:16px}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n" +
      label(60, 34, "start", title, "class=\"h\"");
  double x = 60;
  for (size_t i = 0; i < series.size(); ++i) {
    out += "<circle cx=\"" + px(x + 5) + "\" cy=\"55\" r=\"5\" fill=\"" + kColours[i % kColours.size()] + "\"/>\n" +
           label(x + 15, 59, "start", series[i].name);
    x += 40 + 7 * static_cast<double>(series[i].name.size());
  }
  out += label(kWidth - 40, 59, "end", "solid p50, dashed p99, bars 95 % confidence");
  const double left = 60, right = 510, top = 105, bottom = 380;
  out += Panel(left, top, "Output tokens per second", loads, rate_lines(series), false).draw();
  out += Panel(right, top, "Time to first token, ms", loads,
               latency_lines(series, &PlotPoint::ttft_p50, &PlotPoint::ttft_p99), true)
             .draw();
  out += Panel(left, bottom, "Time from text to text, ms", loads,
               latency_lines(series, &PlotPoint::itl_p50, &PlotPoint::itl_p99), true)
             .draw();
  out += Panel(right, bottom, "Whole request, ms", loads,
               latency_lines(series, &PlotPoint::e2e_p50, &PlotPoint::e2e_p99), true)
             .draw();
  return out + label(kWidth / 2, kHeight - 18, "middle", "load: sessions at once, or arrivals per second (/s)") +
         "</svg>\n";
}

}  // namespace ferrum
