// Templates that would loop, recurse or grow without end give an error, soon and with little memory.
#include <gtest/gtest.h>

#include "text/jinja/testing.h"

namespace ferrum::jinja {
namespace {

std::string repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

void expect_error(const std::string& source, std::string_view part) {
  const std::string got = render(source);
  EXPECT_TRUE(got.starts_with("error: ")) << source.substr(0, 200) << "\ngave " << got.substr(0, 200);
  EXPECT_NE(got.find(part), std::string::npos) << source.substr(0, 200) << "\ngave " << got.substr(0, 200);
}

TEST(Limits, EndlessLoopsRunOutOfSteps) {
  const std::string loop =
      "{% for a in range(100000) %}{% for b in range(100000) %}{% set x = a %}{% endfor %}{% endfor %}";
  expect_error(loop, "steps");
  expect_error("{% for a in range(99999) %}{% set x = range(99999) | sum %}{% endfor %}", "");
  expect_error("{% set s = 'ab' * 9999999 %}{% for a in range(99999) %}{% set x = 'ba!' in s %}{% endfor %}", "steps");
}

TEST(Limits, LargeStringsRunOutOfMemory) {
  expect_error("{{ 'a' * 1000000000 }}", "memory");
  expect_error("{{ 'a' * 9223372036854775807 }}", "memory");
  expect_error("{% set s = 'a' * 1000000 %}{{ s | replace('a', s) }}", "memory");
  expect_error("{% set s = 'a' * 1000000 %}{{ ([s] * 100000) | join }}", "memory");
  expect_error("{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
               "memory");
  expect_error("{{ 'a' | center(1000000000000) }}", "memory");
  expect_error("{{ 'a'.ljust(9223372036854775807) }}", "memory");
  expect_error("{{ 'a\nb' | indent(4000000000) }}", "memory");
  expect_error("{% set s = 'ab' * 50000000 %}{{ [s, s, s, s] }}", "memory");
}

TEST(Limits, LargeListsRunOutOfMemory) {
  expect_error("{{ [0] * 1000000000000 }}", "memory");
  expect_error("{{ [0] * 9223372036854775807 }}", "memory");
  expect_error("{% set ns = namespace(l=[0]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}", "");
  expect_error("{% set l = [0] %}{% for i in range(99) %}{% do l.extend(l) %}{% endfor %}", "");
  expect_error("{{ range(1000000000000) }}", "100000");
  expect_error("{{ range(-9223372036854775807, 9223372036854775807) }}", "100000");
}

TEST(Limits, OutputIsBounded) {
  const std::string line = "{% set s = 'a' * 1000000 %}{% for i in range(1000) %}{{ s }}{% endfor %}";
  expect_error(line, "longer than");
  RenderOptions options = fixed_options();
  options.limits.output = 10;
  EXPECT_EQ(render("0123456789", nlohmann::ordered_json::object(), options), "0123456789");
  EXPECT_TRUE(render("0123456789a", nlohmann::ordered_json::object(), options).starts_with("error: "));
}

TEST(Limits, RecursionOfMacrosEnds) {
  expect_error("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply");
  expect_error(
      "{% macro f(n) %}{% if true %}{% for i in [1] %}{{ [f(n + 1)] | first ~ 'x' }}{% endfor %}{% endif %}{% endmacro "
      "%}{{ f(0) }}",
      "too deeply");
  expect_error(
      "{% macro f() %}{% call g() %}{{ f() }}{% endcall %}{% endmacro %}{% macro g() %}{{ caller() }}{% endmacro %}{{ "
      "f() }}",
      "too deeply");
  expect_error("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "too deeply");
}

TEST(Limits, DeepNestingIsRefusedByTheParser) {
  constexpr size_t kMany = 100'000;
  expect_error("{{ " + repeat("(", kMany) + "1" + repeat(")", kMany) + " }}", "nested too deeply");
  expect_error("{{ " + repeat("[", kMany) + repeat("]", kMany) + " }}", "nested too deeply");
  expect_error("{{ " + repeat("{1:", kMany) + repeat("}", kMany) + " }}", "nested too deeply");
  expect_error("{{ " + repeat("not ", kMany) + "1 }}", "nested too deeply");
  expect_error("{{ " + repeat("- ", kMany) + "1 }}", "nested too deeply");
  expect_error("{{ " + repeat("1 if 1 else ", kMany) + "1 }}", "nested too deeply");
  expect_error("{{ " + repeat("f(", kMany) + repeat(")", kMany) + " }}", "nested too deeply");
  expect_error("{{ " + repeat("a[", kMany) + repeat("]", kMany) + " }}", "nested too deeply");
  expect_error(repeat("{% if 1 %}", kMany), "nested too deeply");
  expect_error(repeat("{% for a in b %}", kMany), "nested too deeply");
  expect_error("{% set " + repeat("(", kMany) + repeat(")", kMany) + " %}", "nested too deeply");
}

TEST(Limits, LongChainsAreRefusedByTheParser) {
  constexpr size_t kMany = 100'000;
  expect_error("{{ 1" + repeat(" + 1", kMany) + " }}", "too long");
  expect_error("{{ 1" + repeat(" * 1", kMany) + " }}", "too long");
  expect_error("{{ a" + repeat(".b", kMany) + " }}", "too long");
  expect_error("{{ a" + repeat("|b", kMany) + " }}", "too long");
  expect_error("{{ a" + repeat("()", kMany) + " }}", "too long");
  expect_error("{{ a" + repeat(" and a", kMany) + " }}", "too long");
  expect_error("{{ a" + repeat(" is b", kMany) + " }}", "");
  // Those that are lists in the tree are no problem.
  EXPECT_EQ(render("{{ 1" + repeat(" ~ 1", 1000) + " }}"), repeat("1", 1001));
  EXPECT_EQ(render("{{ 1" + repeat(" == 1", 1000) + " }}"), "True");
  // What people write stays well below.
  EXPECT_EQ(render("{{ 'a'" + repeat(" + 'a'", 200) + " }}"), repeat("a", 201));
}

TEST(Limits, DeepValuesCannotExhaustTheStack) {
  const std::string deep =
      "{% set ns = namespace(l=[]) %}{% for i in range(50000) %}{% set ns.l = [ns.l] %}{% endfor %}";
  expect_error(deep + "{{ ns.l }}", "too deeply");
  expect_error(deep + "{{ ns.l | tojson }}", "too deeply");
  const std::string other = "{% set o = namespace(l=[]) %}{% for i in range(50000) %}{% set o.l = [o.l] %}{% endfor %}";
  expect_error(deep + other + "{{ ns.l == o.l }}", "too deeply");
  expect_error(deep + other + "{{ ns.l < o.l }}", "too deeply");
  EXPECT_EQ(render(deep + "{{ ns.l | length }}"), "1");
}

TEST(Limits, CyclesEndAndDoNotLeak) {
  const std::string cycle = "{% set l = [] %}{% do l.append(l) %}";
  expect_error(cycle + "{{ l }}", "too deeply");
  expect_error(cycle + "{{ l | tojson }}", "too deeply");
  EXPECT_EQ(render(cycle + "{{ l == l }}"), "True");
  expect_error("{% set d = {} %}{% do d.update(d=d) %}{{ d }}", "too deeply");
}

TEST(Limits, SharedValuesCannotMultiplyTheWork) {
  // 2^60 leaves behind 60 lists.
  const std::string shared =
      "{% set ns = namespace(l=[]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
  expect_error(shared + "{{ ns.l }}", "");
  expect_error(shared + "{{ ns.l | tojson }}", "");
  const std::string other =
      "{% set o = namespace(l=[]) %}{% for i in range(60) %}{% set o.l = [o.l, o.l] %}{% endfor %}";
  expect_error(shared + other + "{{ ns.l == o.l }}", "steps");
}

TEST(Limits, DeepJsonIsRefused) {
  nlohmann::ordered_json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = nlohmann::ordered_json::array({deep});
  const std::string got = render("{{ x }}", {{"x", deep}});
  EXPECT_NE(got.find("128 levels"), std::string::npos) << got;
}

TEST(Limits, TheSourceIsBounded) {
  expect_error(std::string(size_t{5} << 20, 'a'), "4 MiB");
  expect_error(repeat("{{1}}", 400'000), "tokens");
}

}  // namespace
}  // namespace ferrum::jinja
